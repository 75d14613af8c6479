"""From predictions to numbers, per task."""

from collections.abc import Iterable, Mapping
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import Tensor
from transformers import EvalPrediction

from ..modeling.configuration_multitask import Task
from ..modeling.losses import IGNORE_INDEX, task_losses


class ClassificationMetrics(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Accuracy, macro F1 and Matthews correlation of predicted classes, as an `evaluate` metric that downloads nothing.

    Macro F1 is the unweighted mean over the classes that occur among predictions or references, one that is never
    predicted counting as 0; Matthews correlation is 0 for a constant prediction (scikit-learn's conventions).
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="predictions and references: class indices",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: NDArray[np.int64], references: NDArray[np.int64]) -> dict[str, float]:
        # Where there is but one class, 0 is scikit-learn's value too, which comes with a warning about its matrix.
        one_class = len(np.union1d(references, predictions)) == 1
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "f1_macro": float(f1_score(references, predictions, average="macro", zero_division=0.0)),
            "matthews_correlation": 0.0 if one_class else float(matthews_corrcoef(references, predictions)),
        }


class MultiTaskMetrics:
    """`compute_metrics` of a `Trainer`: per task `<task>_accuracy`, `<task>_f1_macro` and
    `<task>_matthews_correlation`.

    Over the rows that are labelled for the task; a task without any has no metrics.

    Args:
        tasks: The model's tasks.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = list(tasks)
        self._metrics = {task.name: ClassificationMetrics(keep_in_memory=True) for task in self.tasks}

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """The metrics of a split's logits {task: (N, C)} and labels {task: (N,)}."""
        logits: Any = prediction.predictions
        label_ids: Any = prediction.label_ids
        results: dict[str, float] = {}
        for task in (task for task in self.tasks if task.name in label_ids):
            labels = label_ids[task.name]
            labelled = labels != IGNORE_INDEX
            if labelled.any():
                scores = self._metrics[task.name].compute(
                    predictions=logits[task.name][labelled].argmax(axis=-1),
                    references=labels[labelled],
                )
                results |= {f"{task.name}_{metric}": value for metric, value in scores.items()}
        return results


def evaluation_losses(
    tasks: Iterable[Task], predictions: Mapping[str, Any], label_ids: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Per task with labelled rows, its mean loss over a whole split, 0-d.

    Args:
        tasks: The model's tasks.
        predictions: Per task, the logits of the split, an (N, C) array.
        label_ids: Per task, the labels of the split, an (N,) array with -100 where a row has no target.
    """
    logits = {name: torch.from_numpy(np.asarray(values)) for name, values in predictions.items()}
    labels = {name: torch.from_numpy(np.asarray(values)) for name, values in label_ids.items()}
    return task_losses(tasks, logits, labels)
