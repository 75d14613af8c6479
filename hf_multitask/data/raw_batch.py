"""A batch of raw rows, read column by column: texts, words and targets, and why a row cannot be used.

Letters of the shapes: N rows of the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..modeling.task import Task
from .cells import list_of, shown
from .targets import TARGETS, Source


class RawBatch:
    """Some rows of a dataset, of which each can be used in all its columns or not at all.

    Args:
        columns: By name, the cells of the rows.
        numbers: (N,), of each row in its split, from 0.
        where: Dataset and split, for messages.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int], where: str) -> None:
        self._columns = columns
        self._numbers = numbers
        self._where = where
        self.reasons: dict[int, str] = {}
        """Why rows cannot be used, by their place in the batch; the first reason that was found."""

    def texts(self, column: str) -> list[str | None]:
        """Per row its text, (N,)."""
        cells = self._columns[column]
        return self._read(lambda place: _text(cells[place], lambda: f"{self._row(place)}: the column {column!r}"))

    def words(self, column: str) -> list[list[str] | None]:
        """Per row its words, (N,)."""
        cells = self._columns[column]
        return self._read(lambda place: _words(cells[place], f"{self._row(place)}, column {column!r}"))

    def targets(self, task: Task, source: Source, words: Sequence[list[str] | None] | None) -> list[Any]:
        """Per row its target for the task, or `None`, (N,).

        A label is looked up once, however many rows have it.

        Args:
            task: The task.
            source: The columns with its targets.
            words: Per row its words, which a token classification has a label for each of.
        """
        target_of = TARGETS[task.problem_type]
        rows = list(zip(*(self._columns[column] for column in source.columns), strict=True))
        known: dict[Any, Any] = {}
        is_label = task.is_choice and not task.reads_tokens

        def read(place: int) -> Any:
            cell = rows[place][0]
            may_be_known = is_label and isinstance(cell, str | int)
            if may_be_known and cell in known:
                return known[cell]
            options = {"num_words": len(words[place] or ())} if words is not None and task.reads_tokens else {}
            found = target_of(rows[place], task, source, f"Task {task.name!r}, {self._row(place, 'row')}", **options)
            if may_be_known:
                known[cell] = found
            return found

        return self._read(read)

    def refuse(self, place: int, reason: str) -> None:
        """The row at this place cannot be used, unless another reason has been found."""
        self.reasons.setdefault(place, f"{self._row(place)}: {reason}")

    def _read(self, read: Callable[[int], Any]) -> list[Any]:
        """What `read` makes of the row at each place; `None` for those that it, or another before it, refuses."""
        found = []
        for place in range(len(self._numbers)):
            value = None
            if place not in self.reasons:
                try:
                    value = read(place)
                except ValueError as error:
                    self.reasons[place] = str(error)
            found.append(value)
        return found

    def _row(self, place: int, word: str = "Row") -> str:
        return f"{word} {self._numbers[place] + 1} of {self._where}"


def _text(value: Any, place: Callable[[], str]) -> str:
    if not isinstance(value, str) or not value.strip():
        found = (
            "an empty one" if value is None or isinstance(value, str) else f"{shown(value)} ({type(value).__name__})"
        )
        raise ValueError(f"{place()} must hold a text, found {found}. Fill it in, or drop the row.")
    return value


def _words(value: Any, place: str) -> list[str]:
    words = list_of(value, place)
    if not words:
        raise ValueError(f"{place}: there must be a list of words, found an empty one. Fill it in, or drop the row.")
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise ValueError(
                f"{place}: every word must be a text, found {shown(word)} ({type(word).__name__}). Correct the list, "
                "or drop the row."
            )
    return words
