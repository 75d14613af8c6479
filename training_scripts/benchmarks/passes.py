"""What a gradient method adds to a pass through the model, forward and backward on one batch.

A method works between the heads and the embedding, and what it adds is a few hundredths of a pass, less than passes
differ from each other. So it is measured where nothing else is: on passes from a given embedding through the heads and
back, and told as a part of a whole pass.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor

from hf_multitask.balancing.fan_out import FanOut
from hf_multitask.balancing.methods import GRADIENT_METHODS, gradient_method
from hf_multitask.training.computing import fast

from . import ours
from .sampling import measure
from .table import Table
from .variant import Variant
from .workload import Workload

COUNTS = (2, 4, 8)
REPEATS = 50
"""Passes through the heads for one through all."""

PART = "% of a pass"


def passes(workload: Workload) -> Table:
    """The table."""
    texts = workload.texts[: workload.batch_size]
    variants: list[Variant] = []
    methods: list[tuple[Variant, str, str]] = []
    for count in COUNTS[: 1 if workload.quick else None]:
        job = cache(lambda count=count: _Job(workload, count))
        whole, heads = f"whole pass, {count} tasks", f"heads, sum, {count} tasks"
        variants += [Variant(whole, lambda made: made.whole(), job, ours=True), _through_heads(job, heads, None)]
        for method in GRADIENT_METHODS:
            variants.append(_through_heads(job, f"heads, {method}, {count} tasks", method))
            methods.append((variants[-1], heads, whole))
    samples, skipped = measure(variants, workload.method)
    for variant, heads, whole in methods:
        if {variant.name, heads, whole} <= samples.keys():
            added = (samples[variant.name].median() - samples[heads].median()) / REPEATS
            variant.facts[PART] = 100 * added / samples[whole].median()
    notes = [
        "A pass is forward and backward on the same batch, by the default arguments, without the optimizer.",
        f"`{PART}`: what the method adds to the heads' passes, over the median of the whole ones.",
    ]
    conditions = workload.conditions(texts, training=True)
    return Table(
        "passes",
        "A pass with balanced gradients",
        "ms/pass",
        variants,
        samples,
        skipped,
        conditions=conditions,
        scale=1000,
        same_work=False,
        notes=notes,
    )


class _Job:
    """A model, a batch, and the batch's embeddings.

    Args:
        workload: Has the texts.
        count: Number of tasks.
    """

    def __init__(self, workload: Workload, count: int) -> None:
        rows = ours.data(workload, workload.texts[: workload.batch_size], count)
        self._trainer = ours.trainer(workload, rows, count)
        self.model = self._trainer.model.train()
        self._batch = self._trainer._prepare_inputs(next(iter(self._trainer.get_train_dataloader())))
        self._embedding: Tensor = self.model(**self._batch).sentence_embedding.detach().requires_grad_()

    def whole(self) -> None:
        """A pass through all of the model, whose losses are summed."""
        self.model.fan_out = None
        with fast(self.model, self._trainer.args):
            self.model(**self._batch).loss.backward()
        self.model.zero_grad()

    def heads(self, fan_out: FanOut | None) -> None:
        """Passes from the embedding through the heads."""
        self.model.fan_out = fan_out
        with fast(self.model, self._trainer.args):
            for _ in range(REPEATS):
                self.model(sentence_embedding=self._embedding, labels=self._batch["labels"]).loss.backward()
                self.model.zero_grad()
                self._embedding.grad = None


def _through_heads(job: Callable[[], _Job], name: str, method: str | None) -> Variant:
    def prepare() -> tuple[_Job, FanOut | None]:
        return job(), _fan_out(job().model, method) if method else None

    return Variant(name, lambda made: made[0].heads(made[1]), prepare, amount=REPEATS, ours=True)


def _fan_out(model: Any, method: str) -> FanOut:
    names = [task.name for task in model.config.tasks]
    balancing = gradient_method(method, names, seed=0)

    def combine(present: Any, virtual_TDD: Any) -> Any:
        factors = balancing.factors(present, virtual_TDD)
        balancing.update(dict.fromkeys(names, 1.0), {})
        return virtual_TDD.new_tensor(factors)

    return FanOut(model.config.tasks, combine)
