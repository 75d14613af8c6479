"""Each task's score, of the model's outputs and of the graph's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import EvalPrediction
from transformers.trainer_pt_utils import nested_concat

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
        logits = [output[logits_name(task)] for output in outputs]
        predictions[task.name], labels[task.name] = logits[0], np.asarray(batches[0]["labels"][task.name])
        for found, batch in zip(logits[1:], batches[1:], strict=True):
            predictions[task.name] = nested_concat(predictions[task.name], found, padding_index=0)
            targets = np.asarray(batch["labels"][task.name])
            labels[task.name] = nested_concat(labels[task.name], targets, padding_index=IGNORE_INDEX)
    results = MultiTaskMetrics(tasks)(EvalPrediction(predictions=predictions, label_ids=labels))  # type: ignore[arg-type]
    keys = {task.name: f"{task.name}_{primary_of(task).name}" for task in tasks}
    return {name: results[key] for name, key in keys.items() if key in results}


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
