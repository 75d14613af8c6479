"""Tasks of an earlier model that a run goes on with."""

import dataclasses
from typing import Any

from ..modeling.task import Task
from ..settings.task_settings import TaskSettings

TRAINED = ("loss_weight", "class_weights", "label_smoothing")
"""What the configuration says of how a task is trained, in this run as in any other."""

REPORTED = ("metrics", "primary_metric", "description")
"""What the configuration may say of how it is judged, and of what it is."""


def continued(task: Task, settings: TaskSettings) -> Task:
    """An earlier model's `task` as the configuration wants to go on with it.

    Its kind, labels, units, head and calibration are the earlier model's; how it is trained is the configuration's.

    Args:
        task: As the earlier model has it.
        settings: What the configuration says of it; balanced class weights have yet to be computed.

    Raises:
        ValueError: The configuration wants another kind, other labels or another head.
    """
    kind = settings.problem_type or task.problem_type
    _check_same(task, "problem_type", kind)
    if settings.labels is not None:
        _check_same(task, "labels", tuple(str(label) for label in settings.labels))
    wanted = Task.parse(settings.described(task.name, kind, task.labels))
    if settings.head:
        _check_same(task, "head", wanted.head)
    if settings.score_range is not None:
        _check_same(task, "score_range", wanted.score_range)
    names = [*TRAINED, *(name for name in REPORTED if getattr(settings, name) not in (None, ""))]
    return dataclasses.replace(task, **{name: getattr(wanted, name) for name in names})


def _check_same(task: Task, key: str, wanted: Any) -> None:
    found = getattr(task, key)
    if found != wanted:
        raise ValueError(
            f"tasks.{task.name}.{key} must be that of the earlier model, {_shown(found)}, found {_shown(wanted)}. "
            "Leave it out, or give the task another name."
        )


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
