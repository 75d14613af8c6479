"""Labels of a batch: where there is one, and whether they can be those of a model."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from .task import Task

IGNORE_INDEX = -100
"""Label of a row, or token, that has no target for a task (the `ignore_index` of `torch.nn.CrossEntropyLoss`)."""


def labelled(labels: Tensor) -> Tensor:
    """Where there is a target: labels that are not -100, or, among float labels, not NaN. Boolean, as `labels`."""
    return ~labels.isnan() if labels.is_floating_point() else labels.ne(IGNORE_INDEX)


def check_labels(tasks: Iterable[Task], labels: Any) -> None:
    """Raise unless `labels` can be those of the tasks.

    Raises:
        ValueError: They are no mapping, or name another task.
    """
    tasks = list(tasks)
    check_by_task(tasks, labels)
    names = [task.name for task in tasks]
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise ValueError(f"labels must name the model's tasks {names}, found {unknown}. Remove them, or add_task(...).")


def check_by_task(tasks: Iterable[Task], labels: Any) -> None:
    """Raise unless `labels` are by task.

    Raises:
        ValueError: They are no mapping.
    """
    if not isinstance(labels, Mapping):
        raise ValueError(
            f"labels must be a mapping from task to tensor, found {type(labels).__name__}. "
            f"Pass labels={{{next(task.name for task in tasks)!r}: tensor, ...}}."
        )
