"""What the targets of mapped rows are like, and the settings of tasks that follow from it."""

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from ..modeling.labels import IGNORE_INDEX
from ..modeling.task import Task
from ..settings.task_settings import BALANCED, TaskSettings

logger = logging.getLogger(__name__)

_COLUMNS: WeakKeyDictionary[Dataset, dict[str, Any]] = WeakKeyDictionary()
"""The targets of mapped rows: every task asks for its own, and to open a dataset costs more the more tasks it has."""


def fit_tasks(
    tasks: Sequence[Task],
    settings: Mapping[str, TaskSettings],
    splits: Mapping[str, Collection[Dataset]],
    earlier: Collection[str] = (),
) -> list[Task]:
    """The `tasks` with what is computed from the rows: balanced class weights, mean and standard deviation of a
    regression, both of the training rows, and the range of similarity scores, of all rows.

    Args:
        tasks: The tasks, with all their labels.
        settings: What the user says of each; of `earlier` ones maybe nothing.
        splits: Per split, mapped rows.
        earlier: Names of the tasks that a trained head answers, whose units stay as they are.

    Raises:
        ValueError: All targets of a regression are equal, or the scores of a similarity are.
    """
    fitted = []
    for task in tasks:
        computed: dict[str, Any] = {}
        if task.name in settings and settings[task.name].class_weights == BALANCED:
            if not task.has_classes:
                raise ValueError(
                    f"tasks.{task.name}.class_weights must be left out where targets are numbers, found {BALANCED!r}, "
                    f"and targets of a {task.problem_type}. Remove it."
                )
            computed["class_weights"] = balanced_weights(task, splits["train"])
        if task.problem_type == "regression" and task.name not in earlier:
            computed["target_mean"], computed["target_std"] = standardisation(task, splits["train"])
        if task.problem_type == "similarity" and task.score_range is None and task.name not in earlier:
            computed["score_range"] = score_range(task, chain.from_iterable(splits.values()))
        fitted.append(dataclasses.replace(task, **computed))
    return fitted


def label_counts(task: Task, datasets: Iterable[Dataset]) -> NDArray[np.int64]:
    """How many rows (or words) have each label of `task`, (C,); for several labels a text, how many it applies to."""
    if not task.is_choice:
        applies_NC = numbers(task, datasets)
        return np.asarray((applies_NC == 1.0).sum(axis=0), dtype=np.int64)
    counts = np.zeros(task.num_labels, dtype=np.int64)
    for targets in _targets(task, datasets):
        for entry in pc.value_counts(pc.list_flatten(targets) if task.reads_tokens else targets).to_pylist():
            if entry["values"] not in (None, IGNORE_INDEX):
                counts[entry["values"]] += entry["counts"]
    return counts


def numbers(task: Task, datasets: Iterable[Dataset]) -> NDArray[np.float64]:
    """The targets of `task`, one whose targets are numbers, in all rows that have one, (N, C); NaN where unknown."""
    found = [
        np.asarray(pc.list_flatten(targets), dtype=np.float64).reshape(-1, task.num_labels)
        for targets in _targets(task, datasets)
    ]
    return np.concatenate([np.empty((0, task.num_labels)), *found])


def count_targets(task: Task, datasets: Iterable[Dataset]) -> int:
    """Number of rows with a target for `task` (of words, for a token classification)."""
    if task.is_choice:
        return int(label_counts(task, datasets).sum())
    return int((~np.isnan(numbers(task, datasets))).any(axis=1).sum())


def balanced_weights(task: Task, datasets: Iterable[Dataset]) -> list[float]:
    r"""Per label, the factor of its loss with which all labels count alike.

    $n / (C n_c)$ where a text (or word) has one of C labels (those that occur; scikit-learn's formula), and for several
    labels a text $n_{c=0} / n_{c=1}$, the factor of the loss where the label applies. A label that never occurs, or
    always, has no such factor and gets 1.
    """
    datasets = list(datasets)
    counts_C = label_counts(task, datasets)
    if task.is_choice:
        usable_C = counts_C > 0
        weights_C = counts_C.sum() / (usable_C.sum() * np.maximum(counts_C, 1))
    else:
        negative_C = (numbers(task, datasets) == 0.0).sum(axis=0)
        usable_C = (counts_C > 0) & (negative_C > 0)
        weights_C = negative_C / np.maximum(counts_C, 1)
    if not usable_C.all():
        logger.warning(
            "Task %r: balanced class weights are 1 for %s, which apply to no training row or to all",
            *(task.name, [label for label, usable in zip(task.labels, usable_C, strict=True) if not usable]),
        )
    return [float(weight) for weight in np.where(usable_C, weights_C, 1.0)]


def standardisation(task: Task, datasets: Iterable[Dataset]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each value of a regression, without the unknown ones.

    Raises:
        ValueError: All targets of a value are equal.
    """
    values_NC = numbers(task, datasets)
    means, stds = [], []
    for name, values_N in zip(task.labels or (task.name,), values_NC.T, strict=True):
        known = values_N[~np.isnan(values_N)]
        if len(known) == 0 or known.min() == known.max():
            raise ValueError(
                f"Task {task.name!r}: the training targets of a regression must differ, found "
                f"{f'only {known[0]}' if len(known) else 'none'} for {name!r}. Add rows, or remove the task."
            )
        means.append(float(known.mean()))
        stds.append(float(known.std()))
    return means, stds


def score_range(task: Task, datasets: Iterable[Dataset]) -> list[float] | None:
    """The lowest and the highest score, where these leave [0, 1], which needs no range.

    Raises:
        ValueError: All scores are the same, outside of [0, 1].
    """
    scores = numbers(task, datasets)
    low, high = float(scores.min()), float(scores.max())
    if low >= 0.0 and high <= 1.0:
        return None
    if low == high:
        raise ValueError(
            f"Task {task.name!r}: scores must differ, or be in [0, 1], found only {low}. Set the task's score_range."
        )
    logger.warning(
        "Task %r: scores are from %g to %g, so these mean a cosine of 0 and of 1; set score_range if others do",
        *(task.name, low, high),
    )
    return [low, high]


def _targets(task: Task, datasets: Iterable[Dataset]) -> Iterable[Any]:
    """The column of the task's targets in each of the mapped `datasets` that has any."""
    for rows in datasets:
        if rows not in _COLUMNS:
            targets = rows.with_format("arrow")[:]["targets"]
            columns = {field.name: pc.struct_field(targets, field.name) for field in targets.type}
            _COLUMNS[rows] = {name: column for name, column in columns.items() if column.null_count < len(column)}
        if task.name in _COLUMNS[rows]:
            yield _COLUMNS[rows][task.name]
