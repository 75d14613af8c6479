"""From raw cells to stored targets, one function per kind of task; what is no target is refused with its place.

All functions take the cells of a row in the columns of the task, and return `None` where they are empty.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import List, Value

from ..modeling.labels import IGNORE_INDEX
from ..modeling.task import Task
from .cells import is_empty, label_of, list_of, number_of, shown, spelled
from .look_alikes import plain

WHOLE_FLOAT = re.compile(r"([-+]?\d+)\.0+")
"""A whole number as pandas writes it once its column has a gap."""

ZERO_ONE = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class Source:
    """Where the targets of a task stand in a dataset.

    Args:
        columns: One column, or one for each label or value.
        is_list: Whether there is one column for each label or value, rather than one with all of them.
        names: Names of the classes where the column is a `ClassLabel`.
    """

    columns: tuple[str, ...]
    is_list: bool = False
    names: tuple[str, ...] | None = None


def choice_target(cells: Sequence[Any], task: Task, source: Source, place: str) -> int | None:
    """The index of the label."""
    label = label_of(cells[0], source.names, place)
    return None if label is None else _index(cells[0], label, task, place)


def multi_label_target(cells: Sequence[Any], task: Task, source: Source, place: str) -> list[float] | None:
    """Per label 1 where it applies and 0 where not, NaN where the cell of its column is empty.

    The cells are those of one column per label, or one list: of the labels that apply (none in an empty list), or of a
    0 or 1 for each of the labels, which are then not numbers themselves.
    """
    if source.is_list:
        return _by_column(cells, task, source, place, zero_or_one)
    values = list_of(cells[0], place)
    if values is None:
        return None
    numbers = [value for value in values if isinstance(value, float | int)]
    if values and source.names is None and len(numbers) == len(values) and not set(map(str, values)) & set(task.labels):
        if len(values) != task.num_labels:
            raise ValueError(
                f"{place}: a list of 0 and 1 must have one for each of the {task.num_labels} labels, found "
                f"{len(values)}. Correct it, or drop the row."
            )
        return [zero_or_one(value, place) or 0.0 for value in values]
    check_names_labels(values, task.num_labels, source, place)
    target = [0.0] * task.num_labels
    for value in values:
        label = label_of(value, source.names, place)
        if label is None:
            raise ValueError(
                f"{place}: a list must hold labels, found {shown(value)} in it. Remove it, or drop the row."
            )
        target[_index(value, label, task, place)] = 1.0
    return target


def check_names_labels(values: Sequence[Any], num_labels: int | None, source: Source, place: str) -> None:
    """Raise where a list that is read as names of labels is one of a 0 or 1 for each label.

    Args:
        values: The list.
        num_labels: How many labels there are, `None` where that is not known yet.
        source: Where the list is from.
        place: Task and row, for messages.

    Raises:
        ValueError: It holds true or false; or it is as long as there are labels, and has 0 or 1 several times.
    """
    if source.names is not None:
        return
    digits = {str(value) for value in values}
    is_for_each = len(values) == num_labels and digits <= {"0", "1"} and len(digits) < len(values)
    if is_for_each or any(isinstance(value, bool) for value in values):
        raise for_each_label(values, place)


def for_each_label(values: Sequence[Any], place: str) -> ValueError:
    """The error that a list has a 0 or 1 for each label, where names of labels are asked for."""
    return ValueError(
        f"{place}: a list must name each label that applies once, found {shown(values)}. If it has a 0 or 1 for each "
        "label, list the labels under tasks, by names other than 0 and 1; else correct it, or drop the row."
    )


def regression_target(cells: Sequence[Any], task: Task, source: Source, place: str) -> list[float] | None:
    """The values, all finite; NaN where the cell of a value's column is empty."""
    if source.is_list:
        return _by_column(cells, task, source, place, number_of)
    if not task.labels:
        value = number_of(cells[0], place)
        return None if value is None else [value]
    values = list_of(cells[0], place)
    if values is None:
        return None
    if len(values) != task.num_labels:
        raise ValueError(
            f"{place}: a target must have the {task.num_labels} values {list(task.labels)}, found {len(values)}. "
            "Correct it, or drop the row."
        )
    numbers = [number_of(value, place) for value in values]
    if None in numbers:
        raise ValueError(
            f"{place}: a list must hold numbers, found none in {shown(values)}. Fill it in, or drop the row."
        )
    return [float(number) for number in numbers if number is not None]


def similarity_target(cells: Sequence[Any], task: Task, _: Source, place: str) -> list[float] | None:
    """The score, or 0 or 1 for whether the texts belong together."""
    value = zero_or_one(cells[0], place) if isinstance(cells[0], bool) else number_of(cells[0], place)
    if value is None:
        return None
    if task.score_range is not None and not task.score_range[0] <= value <= task.score_range[1]:
        raise ValueError(
            f"{place}: a score must be in the task's score_range, {list(task.score_range)}, found {value}. Correct it, "
            "or drop the row."
        )
    return [value]


def token_target(cells: Sequence[Any], task: Task, source: Source, place: str, num_words: int) -> list[int] | None:
    """Per word the index of its label, -100 where it has none.

    Args:
        cells: As of the other functions.
        task: The task.
        source: Where the cells are from.
        place: Task and row, for messages.
        num_words: Number of words of the row.
    """
    values = list_of(cells[0], place)
    if values is None:
        return None
    if len(values) != num_words:
        raise ValueError(
            f"{place}: there must be a label for each word, found {len(values)} labels and {num_words} words. Correct "
            "the lists, or drop the row."
        )
    labels = [label_of(value, source.names, place) for value in values]
    return [
        IGNORE_INDEX if label is None else _index(value, label, task, place)
        for value, label in zip(values, labels, strict=True)
    ]


TARGETS: dict[str, Callable[..., Any]] = {
    "single_label_classification": choice_target,
    "ordinal": choice_target,
    "multi_label_classification": multi_label_target,
    "regression": regression_target,
    "similarity": similarity_target,
    "token_classification": token_target,
}
"""Problem type -> from cells to target."""


def target_feature(task: Task) -> Any:
    """How targets of `task` are stored."""
    if task.reads_tokens:
        return List(Value("int64"))
    return Value("int64") if task.is_choice else List(Value("float64"))


def _by_column(
    cells: Sequence[Any], task: Task, source: Source, place: str, read: Callable[[Any, str], float | None]
) -> list[float] | None:
    """The values of one column per label: by the columns' names where these are labels, else in their order."""
    labels = source.columns if set(source.columns) <= set(task.labels) else task.labels
    if all(map(is_empty, cells)):
        return None
    target = [math.nan] * task.num_labels
    for column, label, cell in zip(source.columns, labels, cells, strict=True):
        value = read(cell, f"{place}, column {column!r}")
        target[task.labels.index(label)] = math.nan if value is None else value
    return target


def zero_or_one(value: Any, place: str) -> float | None:
    """The 0 or 1 a cell holds; `None` for an empty cell."""
    if is_empty(value):
        return None
    found = ZERO_ONE.get(str(value).strip().lower()) if isinstance(value, str | int | float) else None
    if found is None:
        raise ValueError(f"{place}: the cell must hold 0 or 1, found {shown(value)}. Correct it, or drop the row.")
    return found


def _index(value: Any, label: str, task: Task, place: str) -> int:
    index = task.index_of(spelled(value, label, task.labels))
    if index is None and (whole := WHOLE_FLOAT.fullmatch(label)):
        index = task.index_of(whole[1])
    if index is None:
        alike = [known for known in task.labels if plain(known) == plain(label)]
        hint = f", which is not written as the {alike[0]!r} that it looks like: {label!a}" if alike else ""
        raise ValueError(
            f"{place}: the label must be one of {shown(list(task.labels))}, found {shown(label)}{hint}. Add it to the "
            "task's labels, or drop the row."
        )
    return index
