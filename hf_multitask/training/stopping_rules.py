"""When a run ends before its last step, and when a task does."""

from collections.abc import Sequence
from typing import Any

from transformers import EarlyStoppingCallback

from ..evaluation.overall import direction
from ..evaluation.registry import primary_of
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .task_stopping import TaskStopping


def early_stopping(args: MultiTaskTrainingArguments) -> EarlyStoppingCallback:
    """What ends a run after `early_stopping_patience` evaluations without a better `metric_for_best_model`."""
    return EarlyStoppingCallback(args.early_stopping_patience or 1)


def task_stopping(tasks: Sequence[Task], args: MultiTaskTrainingArguments, eval_dataset: Any) -> TaskStopping:
    """What ends a task after `task_patience` evaluations without a better primary metric of its own.

    Raises:
        ValueError: The evaluations are of several datasets.
    """
    if isinstance(eval_dataset, dict):
        raise ValueError(
            f"task_patience needs one evaluation dataset, found several: {list(eval_dataset)}. Pass them as one, "
            "such as datasets.concatenate_datasets(...) makes."
        )
    trained = [task for task in tasks if task.loss_weight]  # others learn nothing that could stop
    keys = {task.name: f"eval_{task.name}_{primary_of(task).name}" for task in trained}
    watched = {task: (key, direction(tasks, key)) for task, key in keys.items()}
    return TaskStopping(watched, args.task_patience or 1)
