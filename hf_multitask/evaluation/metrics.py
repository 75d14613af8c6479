"""From a split's predictions to the numbers that a Trainer reports."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction

from ..modeling.losses import task_losses, total_loss
from ..modeling.task import Task
from .answers import read_answers
from .hub_metric import HubMetric
from .overall import overall_scores
from .registry import metrics_of, primary_of
from .task_metrics import TaskMetrics


class MultiTaskMetrics:
    """`compute_metrics` of a `Trainer`: `<task>_<metric>` for each task, and `average` and `worst` of all tasks.

    Over the rows that have a target for the task; a task without any has no metrics. What average and worst are, see
    [`overall_scores`].

    Args:
        tasks: The model's tasks.

    Raises:
        ValueError: One of the tasks' metrics is unknown.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = list(tasks)
        self._metrics = {task.name: TaskMetrics(task) for task in self.tasks}
        self._hub_metrics = {
            task.name: [metric for metric in metrics_of(task) if isinstance(metric, HubMetric)] for task in self.tasks
        }

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """The metrics of a split's logits and labels, per task as in [`read_answers`]."""
        logits: Any = prediction.predictions
        label_ids: Any = prediction.label_ids
        results: dict[str, float] = {}
        primaries: dict[str, float] = {}
        for task in (task for task in self.tasks if task.name in label_ids):
            answers = read_answers(task, logits[task.name], label_ids[task.name])
            if answers is None:
                continue
            scores = self._metrics[task.name].compute(
                predictions=answers.decided,
                references=answers.targets,
                rows=answers.rows,
                probabilities=answers.probabilities,
            )
            scores |= {metric.name: metric.score(answers) for metric in self._hub_metrics[task.name]}
            results |= {f"{task.name}_{name}": value for name, value in scores.items()}
            primaries[task.name] = scores[primary_of(task).name]
        return results | overall_scores(self.tasks, primaries)


def evaluation_losses(
    tasks: Iterable[Task], predictions: Mapping[str, Any], label_ids: Mapping[str, Any]
) -> dict[str, float]:
    """Mean losses over a whole split: `<task>_loss` of each task with targets, and their weighted sum as `loss`.

    Args:
        tasks: The model's tasks.
        predictions: Per task, the logits of the split, an (N, C) array, or (N, L, C) of a token classification.
        label_ids: Per task, the labels of the split: an (N,) array, or (N, L) of a token classification, with -100
            where there is no target; or an (N, C) array of floats with NaN where there is none.
    """
    logits = {name: torch.from_numpy(np.asarray(values)) for name, values in predictions.items()}
    labels = {name: torch.from_numpy(np.asarray(values)) for name, values in label_ids.items()}
    tasks = list(tasks)
    losses = task_losses(tasks, logits, labels)
    total = total_loss(tasks, losses)
    found = {f"{name}_loss": loss.item() for name, loss in losses.items()}
    return found if total is None else found | {"loss": total.item()}
