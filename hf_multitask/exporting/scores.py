"""Each task's score, of the model's outputs and of the graph's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from ..evaluation.metrics import MultiTaskMetrics
from ..evaluation.registry import primary_of
from ..modeling.labels import IGNORE_INDEX
from ..modeling.onnx_graph import Arrays, logits_name
from ..modeling.task import Task

SCORE_TOLERANCE = 0.01
"""By how much int8 may worsen the primary metric of a task: one point in a hundred of a score up to 1, and one
hundredth of an error, which is in the user's units.
"""


def primary_scores(
    tasks: Sequence[Task], batches: Sequence[Mapping[str, Any]], outputs: Sequence[Arrays]
) -> dict[str, float]:
    """The primary metric of each task that has targets in the batches.

    Args:
        tasks: The tasks that were answered.
        batches: Batches with their `labels`.
        outputs: Per batch, the outputs.
    """
    predictions: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    for task in tasks:
        predictions[task.name] = joined([output[logits_name(task)] for output in outputs], 0)
        labels[task.name] = joined([np.asarray(batch["labels"][task.name]) for batch in batches], IGNORE_INDEX)
    results = MultiTaskMetrics(tasks)(EvalPrediction(predictions=predictions, label_ids=labels))  # type: ignore[arg-type]
    keys = {task.name: f"{task.name}_{primary_of(task).name}" for task in tasks}
    return {name: results[key] for name, key in keys.items() if key in results}


def joined(batches: Sequence[NDArray[Any]], padding: float) -> NDArray[Any]:
    """Arrays of batches as one, (N, ...), the second axis of each filled up with `padding` to the longest.

    As `transformers`' `nested_concat` of one after the other, which copies all before it for each.
    """
    if batches[0].ndim == 1:
        return np.concatenate(batches)
    longest = max(batch.shape[1] for batch in batches)
    others = [(0, 0)] * (batches[0].ndim - 2)
    widths = [[(0, 0), (0, longest - batch.shape[1]), *others] for batch in batches]
    filled = [np.pad(batch, width, constant_values=padding) for batch, width in zip(batches, widths, strict=True)]
    return np.concatenate(filled)


def worsening(task: Task, before: float, after: float) -> float:
    """How much of `SCORE_TOLERANCE` the change of a task's primary metric uses up: above 1 it is too much.

    Infinite where there is no score any more.
    """
    higher = primary_of(task).higher_is_better
    worse = before - after if higher else after - before
    allowed = SCORE_TOLERANCE if higher else SCORE_TOLERANCE * abs(before)
    if math.isnan(after):
        return 0.0 if math.isnan(before) else math.inf
    return 0.0 if worse <= 0 else worse / allowed if allowed else math.inf
