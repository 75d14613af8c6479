"""What is told where the targets of a task could well be of another kind than the inferred one."""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from .cells import is_empty
from .targets import ZERO_ONE

logger = logging.getLogger(__name__)

FEWEST_ROWS = 20
"""Rows from which on many labels tell of numbers that were measured."""

MOST_OTHERS = 0.25
"""Share of cells up to which those that are not 0 or 1 are few."""

MARKS = (";", "|", ",")
"""What people part several labels in one cell by."""


def warn_of_parted_labels(task: str, cells: Iterable[Any]) -> None:
    """Warn where cells, inferred to be one label each, hold several others, parted by a mark.

    Args:
        task: Its name.
        cells: All its targets.
    """
    labels = {str(cell).strip() for cell in cells if not is_empty(cell)}
    for mark in MARKS:
        ordered: dict[tuple[str, ...], str] = {}
        for label in sorted(label for label in labels if mark in label):
            parts = [part.strip() for part in label.split(mark)]
            other = ordered.setdefault(tuple(sorted(parts)), label)
            if other == label and not labels.issuperset(parts):
                continue
            logger.warning(
                "Task %r: %r is read as one label, beside %s. Where a text has several labels, write them as a JSON "
                "list, %s; if they are one, give the task's problem_type under tasks, single_label_classification",
                *(task, label, repr(other) if other != label else parts, json.dumps(parts, ensure_ascii=False)),
            )
            return


def warn_of_many_classes(task: str, cells: Iterable[Any]) -> None:
    """Warn where whole numbers, inferred to be labels, are more than half as many as there are rows.

    Args:
        task: Its name.
        cells: All its targets.
    """
    rows, labels = 0, set()
    for cell in cells:
        if not is_empty(cell):
            rows += 1
            labels.add(str(cell).strip())
    if rows >= FEWEST_ROWS and len(labels) > rows / 2:
        logger.warning(
            "Task %r: its %d targets are %d different whole numbers, each of which becomes a label. Give "
            "the task's problem_type under tasks: regression, if they are values",
            *(task, rows, len(labels)),
        )


def warn_of_few_others(task: str, rows: Iterable[Sequence[Any]], first: str) -> None:
    """Warn where columns of numbers, inferred to be values, are mostly 0 and 1, as those of labels are.

    Args:
        task: Its name.
        rows: The cells of all rows in the columns.
        first: Where the first cell is that is not 0 or 1, and what it holds.
    """
    count = others = 0
    for row in rows:
        for cell in row:
            if not is_empty(cell):
                count += 1
                others += str(cell).strip().lower() not in ZERO_ONE
    if 0 < others <= count * MOST_OTHERS:
        logger.warning(
            "Task %r: %d of the %d cells in its columns are 0 or 1, and the others make it a regression, "
            "first in %s. Correct these if each column is a label; else give the task's problem_type under tasks, "
            "regression",
            *(task, count - others, count, first),
        )
