"""How far a graph deviates from its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..modeling.decoding import decide
from ..modeling.onnx_graph import SENTENCE_EMBEDDING, Arrays, logits_name
from ..modeling.task import Task

TOLERANCE = 1e-4
"""By how much an output in float32 may differ, relative to the largest value of that output where that is above 1.

The same sums in another order differ by the rounding of float32, 6e-8 of a value, which grows with each layer: to 2e-6
in models of 3 to 6 layers. This leaves room for fifty times as much, for deep models and long texts, and no
probability that it allows differs by more than 5e-5. What a tracer gets wrong (a mask that is not read, a length that
is fixed) changes outputs by 1e-2 and more.
"""


@dataclass(frozen=True)
class Deviation:
    """How far one output of the graph deviates from the model's.

    Args:
        max_difference: The largest difference of two numbers, infinite where one of them is not finite.
        allowed: What it may be in float32: `TOLERANCE`, times the largest value where that is above 1.
        same_decisions: Share of the texts, or tokens, with the same decision; `None` where the answers are numbers.
    """

    max_difference: float
    allowed: float
    same_decisions: float | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the graph computes the same as the model, up to rounding."""
        return self.max_difference <= self.allowed


def deviations(
    tasks: Sequence[Task], batches: Sequence[Mapping[str, Any]], expected: Sequence[Arrays], found: Sequence[Arrays]
) -> dict[str, Deviation]:
    """By output, how far `found` deviates from `expected`, over all batches; padding does not count.

    An output without any number to compare, such as a similarity's where no text has a partner, is left out.

    Args:
        tasks: The tasks that were answered.
        batches: What was asked.
        expected: Per batch, the model's outputs.
        found: Per batch, the graph's.
    """
    by_name: dict[str, Task | None] = {SENTENCE_EMBEDDING: None} | {logits_name(task): task for task in tasks}
    results = {}
    for name, task in by_name.items():
        pairs = []
        for batch, ours, theirs in zip(batches, expected, found, strict=True):
            known = ~np.isnan(ours[name]).all(axis=-1)  # no partner of a similarity
            if task is not None and task.reads_tokens:
                known &= np.asarray(batch["attention_mask"], dtype=bool)
            pairs.append((ours[name][known], _like(theirs[name], ours[name])[known]))
        if any(first.size for first, _ in pairs):
            results[name] = _deviation(task, *(np.concatenate(parts) for parts in zip(*pairs, strict=True)))
    return results


def _deviation(task: Task | None, expected_NC: NDArray[Any], found_NC: NDArray[Any]) -> Deviation:
    difference = float(np.abs(expected_NC - found_NC).max())
    same = None
    if task is not None and task.has_classes:
        same = float((decide(task, expected_NC) == decide(task, found_NC)).reshape(len(expected_NC), -1).all(1).mean())
    largest = float(np.abs(expected_NC).max())
    return Deviation(difference if np.isfinite(difference) else float("inf"), TOLERANCE * max(1.0, largest), same)


def _like(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """`found`, or as many NaN as there should be numbers."""
    return found if found.shape == expected.shape else np.full_like(expected, np.nan)
