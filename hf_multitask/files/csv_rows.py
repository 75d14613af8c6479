"""Rows of csv and tsv files, each with a cell for every column."""

import csv
import sys
from collections.abc import Iterable, Iterator


class MalformedError(Exception):
    """What is wrong with a row."""


def csv_rows(lines: Iterable[str], kind: str) -> Iterator[list[str]]:
    """The cells of the header, and then those of each row.

    Lines with nothing but spaces are no rows, unless there is one column only: then they are its cells.

    Args:
        lines: Of the file, their ends as they are there.
        kind: Whether it is `csv` or `tsv`.

    Raises:
        MalformedError: A row has too few or too many cells, or a quote has no end: it would make one cell of several
            rows, which a lenient reader does not tell.
    """
    csv.field_size_limit(sys.maxsize)
    separator = "\t" if kind == "tsv" else ","
    columns = number = 0
    header: list[str] = []
    try:
        for cells in csv.reader(lines, delimiter=separator, strict=True):
            if columns == 0:
                columns, header = len(cells), cells
                if cells:
                    yield cells
                continue
            if columns == 1:
                cells = cells or [""]
            elif not cells or (len(cells) == 1 and cells[0] and not cells[0].strip(" \t")):
                continue
            number += 1
            if len(cells) != columns:
                marks = _other_marks(header, separator)
                raise MalformedError(f"{len(cells)} cells in row {number}, and {columns} columns{marks}")
            # Rows that an open quote made one cell had their separator and their end in it.
            if kind == "tsv" and any(separator in cell and ("\n" in cell or "\r" in cell) for cell in cells):
                raise MalformedError(
                    f"in row {number} a quote that is opened and not closed; write it twice, and the cell in quotes"
                )
            yield cells
    except csv.Error as error:
        place = f"row {number + 1}" if columns else "the header"
        raise MalformedError(
            f"in {place} a quote that is opened and not closed, or stands within a cell; write it twice, and the cell "
            f"in quotes ({error})"
        ) from error
    except UnicodeError as error:
        raise MalformedError(f"behind row {number}: {error}") from error


def _other_marks(header: list[str], separator: str) -> str:
    """What to say of a header that is one cell and holds what programs part cells by, too."""
    found = next((mark for mark in ";\t|," if len(header) == 1 and mark in header[0]), None)
    return "" if found is None else f"; the header has {found!r} between its names, where {separator!r} must be"
