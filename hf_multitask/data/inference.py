"""What the rows tell of a task: its kind and its labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from datasets import Dataset, Features

from ..modeling.task import Task
from .cells import (
    FRACTION,
    WHOLE,
    cells_of,
    class_names,
    is_empty,
    is_list,
    label_of,
    list_of,
    number_of,
    shown,
    spelled,
)
from .doubts import warn_of_few_others, warn_of_many_classes, warn_of_parted_labels
from .forms import GIVE_KIND, check_one_form, check_written, form_of, is_shown_list
from .look_alikes import check_look_alikes, warn_of_capitals, warn_of_missing
from .targets import Source, check_names_labels, for_each_label, zero_or_one
from .word_lists import check_no_tags, check_no_words

Scalar = str | int | float | None

MOST_KEPT = 10_000
"""Different cells of a task that are remembered, so that each is looked at once; of numbers there may be millions."""

MOST_DIGITS = 4_000
"""Digits of a label that is a whole number: Python reads few more as a number."""


@dataclass(frozen=True)
class Column:
    """Where targets of a task stand in the rows of one split.

    Args:
        rows: Raw rows.
        source: The column or columns with the targets.
        text: The first column with text.
        where: Dataset and split, for messages.
    """

    rows: Dataset
    source: Source
    text: str
    where: str

    def cells(self, task: str) -> Iterator[tuple[tuple[Any, ...], str]]:
        """The cells of every row that has any, and their place; the first alone of rows with the same scalars."""
        seen: set[tuple[Any, ...]] = set()  # a column holds values of one type: 1 and true do not meet
        for row, cells in enumerate(cells_of(self.rows, self.source.columns)):
            if all(isinstance(cell, Scalar) for cell in cells):
                if cells in seen:
                    continue
                if len(seen) < MOST_KEPT:
                    seen.add(cells)
            if not all(map(is_empty, cells)):
                yield cells, f"Task {task!r}, row {row + 1} of {self.where}"


def source_of(features: Features, columns: str | list[str]) -> Source:
    """What is to be known of the target `columns` of rows with these features."""
    if not isinstance(columns, str):
        return Source(tuple(columns), is_list=True)
    names = class_names(features, columns)
    return Source((columns,), names=None if names is None else tuple(names))


def infer_problem_type(task: str, columns: Sequence[Column]) -> str:
    """The kind of task that all its targets are of.

    | targets                                    | kind                                                          |
    |--------------------------------------------|---------------------------------------------------------------|
    | one column per label, of 0 and 1           | multi_label_classification                                    |
    | one column per value, of other numbers     | regression                                                    |
    | lists, for lists of words                  | token_classification                                          |
    | lists of names                             | multi_label_classification                                    |
    | lists of numbers with fractions            | regression                                                    |
    | numbers, at least one with a fraction      | regression                                                    |
    | names, whole numbers                       | single_label_classification                                   |

    Raises:
        ValueError: The targets are of more than one kind, or could be of several.
    """
    if len({column.source.is_list for column in columns}) > 1:
        raise ValueError(
            f"Task {task!r}: its targets must be in one column, or in one for each label, in all datasets, found both. "
            f"{GIVE_KIND}"
        )
    if columns[0].source.is_list:
        return _kind_of_columns(task, columns)
    forms: dict[str, str] = {}
    for column in columns:
        for (cell,), place in column.cells(task):
            if (form := form_of(cell, column.source)) not in forms:
                forms[form] = f"{place}: {shown(cell)}"
    check_written(task, forms)
    if "list" in forms:
        check_one_form(task, forms, {"list"})
        return _kind_of_lists(task, columns)
    if "fraction" in forms:
        check_one_form(task, forms, {"fraction", "float", "whole number"})
        return "regression"
    if "float" in forms:
        raise ValueError(
            f"Task {task!r}: numbers must have a fraction somewhere, or be written as whole ones, found only such as "
            f"in {forms['float']}. They may be classes or values: give the task's problem_type under tasks."
        )
    check_one_form(task, forms, {"name", "whole number"})
    warn = warn_of_many_classes if list(forms) == ["whole number"] else warn_of_parted_labels
    warn(task, chain.from_iterable(_all_cells(columns)))
    return "single_label_classification"


def _kind_of_columns(task: str, columns: Sequence[Column]) -> str:
    readers: dict[str, Callable[[Any, str], Any]] = {
        "multi_label_classification": zero_or_one,
        "regression": number_of,
    }
    problem, first = None, None
    for kind, read in readers.items():
        first, problem = problem, _problem(task, columns, read)
        if problem is None:
            if first is not None:
                place = str(first).removeprefix(f"Task {task!r}, ").partition(". ")[0]
                warn_of_few_others(task, _all_cells(columns), place)
            return kind
    raise ValueError(f"{problem} {GIVE_KIND}") from problem


def _all_cells(columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
    return chain.from_iterable(cells_of(column.rows, column.source.columns) for column in columns)


def _problem(task: str, columns: Sequence[Column], read: Callable[[Any, str], Any]) -> ValueError | None:
    """The error of the first cell that `read` refuses."""
    try:
        for column in columns:
            for cells, place in column.cells(task):
                for name, cell in zip(column.source.columns, cells, strict=True):
                    read(cell, f"{place}, column {name!r}")
    except ValueError as error:
        return error
    return None


def _kind_of_lists(task: str, columns: Sequence[Column]) -> str:
    forms: dict[str, str] = {}
    names: dict[str, str] = {}
    for column in columns:
        all_texts = column.rows.select_columns(column.text)[:][column.text]
        texts = [text for text in all_texts if not is_empty(text)]
        if texts and all(map(is_list, texts)):
            return "token_classification"
        check_no_words(task, all_texts, f"the column {column.text!r} of {column.where}")
        if texts and all(map(is_shown_list, texts)):
            forms["shown list"] = f"the column {column.text!r} of {column.where}: {shown(texts[0])}"
        for (cell,), place in column.cells(task):
            for item in list_of(cell, place) or ():
                forms.setdefault(form_of(item, column.source), f"{place}: {shown(cell)}")
                if isinstance(item, str):
                    names.setdefault(item.strip(), place)
    check_written(task, forms)
    if "name" in forms:
        check_one_form(task, forms, {"name"})
        check_no_tags(task, names)
        return "multi_label_classification"
    if "fraction" in forms:
        check_one_form(task, forms, {"fraction", "float", "whole number"})
        return "regression"
    raise ValueError(
        f"Task {task!r}: lists must hold names or numbers with fractions to tell the kind of task, found "
        f"{next(iter(forms.values()), 'only empty ones')}. {GIVE_KIND}"
    )


def infer_labels(task: str, problem_type: str, columns: Sequence[Column]) -> list[str]:
    """The labels of `task`, sorted (by value where all are whole numbers); of a regression, the names of its values.

    Cells that are no targets count for nothing: mapping refuses them.

    Raises:
        ValueError: There are too few labels, two look alike, one is a fraction, and so a score rather than a label, or
            those of an ordinal task are not numbers, which have an order.
    """
    if problem_type == "similarity":
        return []
    if columns[0].source.is_list:
        return list(dict.fromkeys(name for column in columns for name in column.source.columns))
    if problem_type == "regression":
        return _value_names(task, columns)
    labels: dict[str, str] = {}
    truths: dict[tuple[Any, str], str] = {}
    lists: dict[int, tuple[list[Any], str]] = {}
    problem: ValueError | None = None
    for column in columns:
        for (cell,), place in column.cells(task):
            try:
                in_lists = problem_type in ("multi_label_classification", "token_classification")
                found = (list_of(cell, place) or []) if in_lists else [cell]
                row = [label_of(value, column.source.names, place) for value in found]
            except ValueError as error:
                problem = problem or error
                continue
            if in_lists and problem_type == "multi_label_classification":
                check_names_labels(found, None, column.source, place)
                lists.setdefault(len(found), (found, place))
            if any(WHOLE.fullmatch(label) and len(label) > MOST_DIGITS for label in row if label is not None):
                raise ValueError(
                    f"{place}: a label that is a whole number must have at most {MOST_DIGITS:,} digits, found "
                    f"{shown(cell)}. Correct it, or list the labels under tasks."
                )
            fraction = next((label for label in row if label is not None and FRACTION.fullmatch(label)), None)
            if fraction is not None:
                raise ValueError(
                    f"{place}: a label must be a name or a whole number, found {fraction}. Put the scores into "
                    "classes, drop the row, or list the labels under tasks if they are names of classes."
                )
            for value, label in zip(found, row, strict=True):
                if isinstance(value, bool) and label is not None:
                    truths.setdefault((value, label), place)
                elif label is not None:
                    labels.setdefault(label, place)
    lengths = lists.keys() - {0}
    if labels.keys() <= {"0", "1"} and len(lengths) == 1 and max(lengths) > 1 and columns[0].source.names is None:
        raise for_each_label(*lists[max(lengths)])
    for (value, label), place in truths.items():
        labels.setdefault(spelled(value, label, list(labels)), place)
    _check_labels(task, problem_type, labels, columns, problem)
    numbers = all(WHOLE.fullmatch(label) for label in labels)
    return sorted(labels, key=lambda label: (int(label), label)) if numbers else sorted(labels)


def _check_labels(
    task: str, problem_type: str, labels: Mapping[str, str], columns: Sequence[Column], problem: ValueError | None
) -> None:
    fewest = 1 if problem_type == "multi_label_classification" else 2
    if len(labels) < fewest:
        if problem is not None:
            raise problem
        places = ", ".join(f"the column {column.source.columns[0]!r} of {column.where}" for column in columns)
        raise ValueError(
            f"Task {task!r}: there must be at least {['one label', 'two labels'][fewest - 1]}, found "
            f"{sorted(labels) or 'none'} in {places}. Label more rows, or list the labels under tasks."
        )
    check_look_alikes(task, sorted(labels))
    where = {label: place.removeprefix(f"Task {task!r}, ") for label, place in labels.items()}
    warn_of_capitals(task, where)
    warn_of_missing(task, where)
    if problem_type == "ordinal" and not all(WHOLE.fullmatch(label) for label in labels):
        raise ValueError(
            f"Task {task!r}: the labels of an ordinal task must be whole numbers, or be listed from the lowest to the "
            f"highest, found {shown(sorted(labels))}. List them under tasks."
        )


def _value_names(task: str, columns: Sequence[Column]) -> list[str]:
    """Names for the values of a regression whose targets are lists; none where they are numbers."""
    for column in columns:
        for (cell,), place in column.cells(task):
            if is_list(cell):
                return [f"value_{index}" for index in range(len(list_of(cell, place) or ()))]
            return []
    return []


def check_columns_of_labels(task: Task, columns: Sequence[Column]) -> None:
    """Raise where targets stand in one column for each label, and these do not fit the task's labels.

    Raises:
        ValueError: The columns are neither named as labels, nor as many as there are and named otherwise.
    """
    for column in columns:
        names = column.source.columns
        others = set(names) - set(task.labels)
        if column.source.is_list and others and (len(others) < len(names) or len(names) != task.num_labels):
            raise ValueError(
                f"Task {task.name!r}: the columns of {column.where} must all be labels of the task, "
                f"{list(task.labels)}, or as many of which none is one, found {list(names)}. Correct the targets, or "
                "the labels under tasks."
            )
