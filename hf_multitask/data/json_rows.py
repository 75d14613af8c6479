"""Rows of json and jsonl files, each a mapping from columns to cells, exactly as they stand there."""

import json
import re
from collections.abc import Iterator
from typing import Any

import fsspec

from .csv_files import ENCODING
from .escapes import check_escapes

NO_SPACE = re.compile(r"\S")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} twice in a mapping")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_mapping)
"""Reads JSON whose mappings have each name once."""


def json_rows(file: str) -> Iterator[dict[str, Any]]:
    """The rows of a file that has one in each line, or any JSON of them: a list, or one behind the other.

    Lines are read one by one; any other file is held as a whole.

    Raises:
        ValueError: The file is no UTF-8, or no JSON, or something in it is no row; the message tells the line or row.
    """
    with fsspec.open(file, "rt", encoding=ENCODING, compression="infer") as lines:
        numbered = enumerate(lines, 1)
        is_first = True
        for number, line in numbered:
            check_escapes(line, number)
            if line.isspace():
                continue
            try:
                row = DECODER.decode(line)
            except (ValueError, RecursionError) as error:  # ValueError: numbers of thousands of digits too
                if is_first:
                    row = None  # the front of one that has several lines
                else:
                    raise ValueError(f"no JSON in line {number}: {error}") from None
            if is_first and not isinstance(row, dict):
                yield from _rows_of_text([line, *_checked(numbered)])
                return
            is_first = False
            yield _as_row(row, f"line {number}")


def _checked(numbered: Iterator[tuple[int, str]]) -> Iterator[str]:
    for number, line in numbered:
        check_escapes(line, number)
        yield line


def _rows_of_text(lines: list[str]) -> Iterator[dict[str, Any]]:
    text = "".join(lines)
    values: list[Any] = []
    end = 0
    try:
        while begins := NO_SPACE.search(text, end):
            value, end = DECODER.raw_decode(text, begins.start())
            values += value if isinstance(value, list) else [value]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    for number, value in enumerate(values, 1):
        yield _as_row(value, f"row {number}")


def _as_row(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"in {place} no mapping from columns to cells")
    return value
