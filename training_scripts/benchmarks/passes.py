"""What a gradient method adds to a pass through the model, forward and backward on one batch.

A method works between the heads and the embedding, and what it adds is a few hundredths of a pass, less than passes
differ from each other. So it is measured where nothing else is: on passes from a given embedding through the heads and
back, and told as a part of a whole pass. So are many heads, which are stacked, against torch's own, one by one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hf_multitask.balancing.fan_out import FanOut
from hf_multitask.balancing.methods import GRADIENT_METHODS, gradient_method
from hf_multitask.training.computing import fast

from . import ours
from .sampling import measure
from .table import Bar, Table
from .variant import Variant
from .workload import Workload

COUNTS = (2, 4, 8)
MANY = (32, 128)
"""Numbers of tasks whose gradients are not balanced here."""

REPEATS = 50
"""Passes through the heads for one through all."""

PART = "% of a pass"


def passes(workload: Workload) -> Table:
    """The table."""
    texts = workload.texts[: workload.batch_size]
    variants: list[Variant] = []
    methods: list[tuple[Variant, str, str]] = []
    bars: list[Bar] = []
    for count in (COUNTS + MANY)[: 1 if workload.quick else None]:
        job = cache(lambda count=count: _Job(workload, count))
        whole, heads = f"whole pass, {count} tasks", f"heads, sum, {count} tasks"
        variants += [Variant(whole, lambda made: made.whole(), job, ours=True), _through_heads(job, heads, None)]
        single = f"torch's heads one by one, {count} tasks"
        variants.append(Variant(single, lambda made: made.one_by_one(), job, amount=REPEATS))
        if count in MANY:
            bars.append(Bar(f"{count} heads", heads, single, 1.0, 0.5, "cost"))
        for method in GRADIENT_METHODS if count in COUNTS else ():
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
        bars,
        conditions,
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
        self._counts = self._trainer._labelled_rows([self._batch], torch.device(workload.device))
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
                self.model(
                    sentence_embedding=self._embedding, labels=self._batch["labels"], num_items_in_batch=self._counts
                ).loss.backward()
                self._clear()

    def one_by_one(self) -> None:
        """The same of a loop over the heads, and each its cross-entropy."""
        with fast(self.model, self._trainer.args):
            for _ in range(REPEATS):
                losses = [
                    functional.cross_entropy(head(self._embedding), self._batch["labels"][name])
                    for name, head in self.model.heads.items()
                ]
                torch.stack(losses).sum().backward()
                self._clear()

    def _clear(self) -> None:
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
