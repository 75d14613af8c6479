"""The labelled rows that a trained model is scored on."""

import dataclasses
from collections.abc import Sequence

from ..data.preparation import prepare
from ..data.prepared_data import PreparedData
from ..data.split_record import check_same_splits
from ..modeling.task import Task
from ..settings.run_settings import RunSettings, TaskSettings
from ..training.recorded_splits import recorded_splits


def scored_data(checkpoint: str, settings: RunSettings, tasks: Sequence[Task], split: str) -> PreparedData:
    """The data that the settings of a run describe, with the kinds and labels of a checkpoint's tasks.

    Args:
        checkpoint: Its folder, or its id on the Hub.
        settings: Of a run; what they and the data tell of labels does not count.
        tasks: The checkpoint's.
        split: The one to score. The data need no other, and only what is scored must be right.

    Raises:
        ValueError: Something in the data cannot be, there are no rows of the split, they are cut otherwise than in
            the checkpoint's run, or the settings have a task that the checkpoint has not.
    """
    data = prepare(_with_tasks_of(settings, tasks), earlier=tasks, scored=split)
    check_same_splits(recorded_splits(checkpoint), settings, data, split)
    return data


def _with_tasks_of(settings: RunSettings, tasks: Sequence[Task]) -> RunSettings:
    """The settings with the kinds and labels of a checkpoint's tasks, whatever the data would tell of them.

    Args:
        settings: Of a run.
        tasks: The checkpoint's.

    Raises:
        ValueError: The settings have a task that the checkpoint has not.
    """
    by_name = {task.name: task for task in tasks}
    others = [name for name in settings.tasks if name not in by_name]
    if others:
        raise ValueError(
            f"The tasks of the configuration must be the checkpoint's, {list(by_name)}, found {others}. Remove them "
            "from tasks and from the targets of its datasets."
        )
    imposed = {}
    for name in settings.tasks:
        task = by_name[name]
        imposed[name] = TaskSettings(
            problem_type=task.problem_type,
            labels=list(task.labels),
            score_range=None if task.score_range is None else list(task.score_range),
        )
    return dataclasses.replace(settings, tasks=imposed)
