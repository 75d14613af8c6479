"""The time of a training step against the number of tasks, the batch size and the length of the texts.

A sample is six steps, of which five count, so that five rounds take some eight minutes on two cores.
"""

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

from . import ours
from .table import Bar, Table
from .variant import Reading, Variant
from .workload import Workload

COUNTS = (1, 2, 8, 32, 128)
BATCHES = (8, 128)
WORDS = (8, 24, 64)


def tasks(workload: Workload) -> Table:
    """The table."""
    counts = (1, 2, 32) if workload.quick else COUNTS
    steps = workload.steps(6)
    texts = workload.some(workload.batch_size * steps)
    variants = [step(workload, texts, f"{count} tasks", count, steps) for count in counts]
    for size in BATCHES[: 1 if workload.quick else None]:
        sized = dataclasses.replace(workload, batch_size=size)
        variants.append(step(sized, workload.some(size * steps), f"2 tasks, batches of {size}", 2, steps))
    words = " ".join(workload.texts).split()
    for length in WORDS[: 1 if workload.quick else None]:
        cut = [" ".join(words[n * length % len(words) :][:length]) for n in range(len(texts))]
        variants.append(step(workload, cut, f"2 tasks, texts of {length} words", 2, steps))
    samples, skipped = workload.measure(variants, texts, training=True)
    return Table(
        "tasks",
        "Time of a step",
        "ms/step",
        variants,
        samples,
        skipped,
        [Bar("32 tasks against 2", "32 tasks", "2 tasks", 1.1, 1.03, "cost")],
        workload.conditions(texts, training=True),
        scale=1000,
        notes=["The first step, which makes the optimizer's state, is not counted. Arguments are the defaults."],
    )


def step(workload: Workload, texts: Sequence[str], name: str, num_tasks: int, steps: int, **arguments: Any) -> Variant:
    """The steps of our Trainer but the first."""
    counted = steps - 1
    tokens = sum(workload.lengths(texts)) * counted / steps

    rows = cache(lambda: ours.data(workload, texts, num_tasks))

    def prepare() -> Any:
        return ours.trainer(workload, rows(), num_tasks, steps, **arguments)

    made = Variant(name, ours.steady, prepare, amount=counted, tokens=tokens, texts=texts, ours=True)

    def count(trainer: Any) -> Reading:
        made.tokens = ours.real_tokens(trainer, 1, steps)
        return {}

    made.inspect = count
    return made
