"""Which kind of value the columns of json files hold, over all their rows."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Features, List, Value

from .cells import shown
from .json_rows import json_rows

LARGEST = 2**63 - 1
"""The largest whole number that a column holds, and its negative the smallest."""

LARGEST_EXACT = 2**53
"""The largest up to which a column of fractions holds every whole number."""

NAMES = {str: "string", bool: "bool", int: "int64", float: "float64", type(None): "null"}
"""Kind of a cell -> that of the column."""


class MixedColumnError(Exception):
    """What must hold of a column, what was found, and what to do."""


class Kinds:
    """The kinds of the values that a column holds, or lists in it, each with the first one."""

    def __init__(self) -> None:
        self.first: dict[type, tuple[Any, str, int]] = {}
        self.largest: tuple[int, str, int] = (0, "", 0)
        self.items: Kinds | None = None

    def add(self, cell: Any, file: str, row: int) -> None:
        """Take account of a cell, in a row (from 1) of a file."""
        kind = type(cell)
        if kind not in self.first:
            self.first[kind] = (cell, file, row)
        if kind is int and abs(cell) > self.largest[0]:
            self.largest = (abs(cell), file, row)
        elif kind is list:
            self.items = self.items or Kinds()
            for item in cell:
                self.items.add(item, file, row)

    def feature(self, column: str) -> Any:
        """How the column is stored.

        Raises:
            MixedColumnError: No kind holds all values without changing some.
        """
        kinds = [kind for kind in self.first if kind is not type(None)]
        if set(kinds) == {int, float}:
            kinds = [float]
        if len(kinds) > 1:
            found = " and ".join(_shown(*self.first[kind]) for kind in kinds[:2])
            raise MixedColumnError(
                f"the column {column!r} must hold values of one type, found {found}. Write all as strings, or correct "
                "the rows."
            )
        kind = kinds[0] if kinds else type(None)
        most = LARGEST_EXACT if kind is float else LARGEST
        if self.largest[0] > most:
            beside = "beside numbers with a point " if kind is float else ""
            raise MixedColumnError(
                f"the column {column!r} must hold whole numbers of at most {most:,} {beside}in either direction, found "
                f"{_shown(*self.largest)}. Write all as strings, or correct the row."
            )
        if kind is list and self.items is not None:
            return List(self.items.feature(column))
        if kind not in NAMES:
            raise MixedColumnError(
                f"the column {column!r} must hold strings, numbers, true and false or lists of such, found "
                f"{_shown(*self.first[kind])}. Name another column, or correct the rows."
            )
        return Value(NAMES[kind])


def json_features(files: Iterable[Path], columns: Iterable[str]) -> Features:
    """How the `columns` of json files are stored, so that every cell stays what it is.

    A column of whole numbers and of some with a point is one of fractions. Where a column is in no row, all others are
    told, as empty ones.

    Args:
        files: Their paths.
        columns: The columns that are used.

    Raises:
        ValueError: There is no row, or a file cannot be read; the message tells the file.
        MixedColumnError: A column holds values of several kinds; the message tells column, file and row.
    """
    kinds = {column: Kinds() for column in columns}
    names: dict[str, None] = {}
    for name, number, row in chain.from_iterable(map(_numbered, files)):
        if not row.keys() <= names.keys():
            names |= dict.fromkeys(row)
        for column, of_column in kinds.items():
            of_column.add(row.get(column), name, number)
    if not names:
        raise ValueError("no row")
    known = {column: of_column.feature(column) for column, of_column in kinds.items() if column in names}
    others = {name: Value("null") for name in names} if len(known) < len(kinds) else {}
    return Features(others | known)


def _numbered(file: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    try:
        for number, row in enumerate(json_rows(str(file)), 1):
            yield file.name, number, row
    except ValueError as error:
        raise ValueError(f"in {file.name}, {error}") from None


def _shown(value: Any, file: str, row: int) -> str:
    return f"{shown(value)} ({type(value).__name__}) in row {row} of {file}"
