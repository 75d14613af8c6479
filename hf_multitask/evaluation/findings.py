"""What a split's predictions show of each task beyond its metrics, as plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from ..modeling.labels import labelled
from ..modeling.task import Task
from .bootstrap import confidence_intervals
from .class_report import confusion, per_class


@dataclass(frozen=True)
class Findings:
    """What a split's predictions show.

    Args:
        confusion: Per task whose answer is one of its labels, the counts of each right label (rows) that was given
            each label (columns).
        per_class: Per task with labels, `precision`, `recall`, `f1` and `support` of each label.
        intervals: By `<task>_<metric>`, the 95 % bootstrap interval of the metric.
    """

    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    per_class: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def find(
    tasks: Iterable[Task], predictions: Mapping[str, Any], label_ids: Mapping[str, Any], with_intervals: bool
) -> Findings:
    """The findings of a split, for the tasks that have a target there.

    Args:
        tasks: The model's tasks, calibrated or not.
        predictions: Per task, the logits of the split.
        label_ids: Per task, the labels of the split.
        with_intervals: Whether to draw the resamples for intervals, which takes some seconds.
    """
    tasks = [task for task in tasks if task.name in label_ids and _has_targets(label_ids[task.name])]
    choices = [task for task in tasks if task.is_choice]
    with_classes = [task for task in tasks if task.has_classes]
    return Findings(
        {task.name: confusion(task, predictions[task.name], label_ids[task.name]).tolist() for task in choices},
        {
            task.name: {
                label: asdict(scores)
                for label, scores in per_class(task, predictions[task.name], label_ids[task.name]).items()
            }
            for task in with_classes
        },
        confidence_intervals(tasks, predictions, label_ids) if with_intervals else {},
    )


def _has_targets(labels: Any) -> bool:
    return bool(labelled(torch.from_numpy(np.asarray(labels))).any())
