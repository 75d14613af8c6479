"""What a gradient method adds to a pass through the model: forward and backward on one batch, again and again.

Without the optimizer and the data, whose times vary more than a method costs; and each sample is one pass, so that the
methods take turns within seconds. A whole step has the same addition and takes longer.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

from hf_multitask.balancing.fan_out import FanOut
from hf_multitask.balancing.methods import GRADIENT_METHODS, gradient_method
from hf_multitask.training.computing import fast

from . import ours
from .sampling import measure
from .table import Bar, Table
from .variant import Variant
from .workload import Workload

COUNTS = (2, 4, 8)
PASSES = 3
"""Samples for each round of the other benchmarks."""


def passes(workload: Workload) -> Table:
    """The table."""
    texts = workload.texts[: workload.batch_size]
    variants: list[Variant] = []
    bars: list[Bar] = []
    for count in COUNTS[: 1 if workload.quick else None]:
        job = cache(lambda count=count: _Job(workload, count))
        plain = f"sum, {count} tasks"
        variants.append(_variant(job, plain, None))
        for method in GRADIENT_METHODS:
            name = f"{method}, {count} tasks"
            variants.append(_variant(job, name, method))
            bars.append(Bar(name, name, plain, 1.1, 1.03, "cost"))
    more = dataclasses.replace(workload.method, rounds=PASSES * workload.method.rounds)
    samples, skipped = measure(variants, more)
    notes = ["A pass is forward and backward on the same batch, by the default arguments, without the optimizer."]
    conditions = workload.conditions(texts, training=True)
    how: dict[str, Any] = {"scale": 1000, "same_work": False, "notes": notes}
    return Table(
        "passes", "A pass with balanced gradients", "ms/pass", variants, samples, skipped, bars, conditions, **how
    )


class _Job:
    """A model, and one batch.

    Args:
        workload: Has the texts.
        count: Number of tasks.
    """

    def __init__(self, workload: Workload, count: int) -> None:
        rows = ours.data(workload, workload.texts[: workload.batch_size], count)
        self._trainer = ours.trainer(workload, rows, count)
        self.model = self._trainer.model.train()
        self._batch = {k: v for k, v in next(iter(self._trainer.get_train_dataloader())).items() if k != "row_ids"}

    def run(self, fan_out: FanOut | None) -> None:
        """One pass."""
        self.model.fan_out = fan_out
        with fast(self.model, self._trainer.args):
            self.model(**self._batch).loss.backward()
        self.model.zero_grad()


def _variant(job: Callable[[], _Job], name: str, method: str | None) -> Variant:
    def prepare() -> tuple[_Job, FanOut | None]:
        return job(), _fan_out(job().model, method) if method else None

    return Variant(name, lambda made: made[0].run(made[1]), prepare, ours=True)


def _fan_out(model: Any, method: str) -> FanOut:
    names = [task.name for task in model.config.tasks]
    balancing = gradient_method(method, names, seed=0)

    def combine(present: Any, virtual_TDD: Any) -> Any:
        factors = balancing.factors(present, virtual_TDD)
        balancing.update(dict.fromkeys(names, 1.0), {})
        return virtual_TDD.new_tensor(factors)

    return FanOut(model.config.tasks, combine)
