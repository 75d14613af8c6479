"""The metrics of one task, as a metric of the `evaluate` library that downloads nothing."""

from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from ..modeling.task import Task
from .answers import Answers
from .metric import Metric
from .registry import is_optional, metrics_of


class TaskMetrics(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """`compute(predictions=..., references=..., rows=..., probabilities=...)`: a task's metrics by name.

    Predictions and references are class indices; rows of 0 and 1 (references NaN where there is no target) for any
    number of labels; or rows of numbers. What reads more than decisions does not pass through `evaluate`'s tables: the
    text that each token belongs to (`rows`; by default each is its own), and the labels' probabilities.

    Args:
        task: The task.
        **kwargs: Passed to [`evaluate.Metric`].

    Raises:
        ValueError: One of the task's metrics is unknown.
    """

    def __init__(self, task: Task, **kwargs: Any) -> None:
        self.task = task
        self.metrics = [metric for metric in metrics_of(task) if isinstance(metric, Metric)]
        super().__init__(**{"keep_in_memory": True, **kwargs})

    def _info(self) -> evaluate.MetricInfo:
        index, number = datasets.Value("int64"), datasets.Value("float64")
        if self.task.is_choice:
            features = {"predictions": index, "references": index}
        else:
            several = self.task.problem_type == "multi_label_classification"
            predictions = datasets.List(index if several else number)
            features = {"predictions": predictions, "references": datasets.List(number)}
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="predictions and references: decisions and targets of the rows that have a target",
            features=datasets.Features(features),
        )

    def _compute(
        self, predictions: Any, references: Any, rows: Any = None, probabilities: Any = None
    ) -> dict[str, float]:
        decided, targets = np.asarray(predictions), np.asarray(references)
        rows = np.arange(len(decided)) if rows is None else np.asarray(rows)
        answers = Answers(self.task, decided, targets, rows, probabilities)
        scores = {}
        for metric in self.metrics:
            if metric.holds(answers):
                scores[metric.name] = metric.score(answers)
            elif not is_optional(self.task, metric):
                raise _not_admitted(self.task, metric)
        return scores


def check_admitted(task: Task, targets: NDArray[np.float64]) -> None:
    """Raise unless targets admit the metrics that somebody asked for.

    Args:
        task: The task, whose targets are numbers; those of labels admit all metrics.
        targets: (N, C), NaN where there is none.

    Raises:
        ValueError: They do not.
    """
    targets = targets.astype(np.float32).astype(np.float64)  # as a batch has them
    answers = Answers(task, targets, targets, np.arange(len(targets)))
    for metric in metrics_of(task):
        if isinstance(metric, Metric) and not is_optional(task, metric) and not metric.holds(answers):
            raise _not_admitted(task, metric)


def _not_admitted(task: Task, metric: Metric) -> ValueError:
    return ValueError(f"Task {task.name!r}: {metric.name} needs {metric.needs}, found others. Choose another metric.")
