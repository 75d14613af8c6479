"""A first look at all rows of a file, before long work begins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..answer_columns import is_missing
from .formats import input_format
from .reading import read_chunks, read_schema
from .text_cells import check_text, read_texts

LARGEST_EXACT = 2**53
"""The largest whole number up to which a column of fractions holds every one."""

OUT_OF_RANGE = ("exactly representable", "PyLong is too large")
"""What pyarrow says of a larger one beside a fraction."""

CHUNK = 4096
"""Rows that are held at a time."""


@dataclass(frozen=True)
class Survey:
    """What a file holds.

    Args:
        rows: Number of rows.
        missing: Of how many a text is missing or empty.
        columns: Names of the columns, in the order in which they are first found.
        schema: The types of the columns, where these are known.
    """

    rows: int
    missing: int
    columns: list[str]
    schema: pa.Schema | None


def survey(path: Path, text_columns: Sequence[str], with_types: bool, with_words: bool = False) -> Survey:
    """Read all rows once, check them, and tell what there is.

    Args:
        path: The file.
        text_columns: The one or two columns with texts.
        with_types: Whether the types of all columns must be known, as a parquet file needs them.
        with_words: Whether a first text may be a list of words; see [`read_texts`].

    Raises:
        ValueError: There is no row, a column with texts is missing or holds something else, the file is not what its
            name says, or a column is of several types where one is needed.
    """
    schema = read_schema(path)
    of_strings = input_format(path) in ("csv", "tsv")
    columns: dict[str, None] = dict.fromkeys(schema.names if schema is not None else ())
    if schema is not None:
        _check_columns(path, text_columns, list(columns))
    types: pa.Schema | None = None
    large: dict[tuple[str, ...], tuple[int, object]] = {}
    rows = missing = 0
    for chunk in read_chunks(path, CHUNK):
        if schema is None:
            columns |= dict.fromkeys(name for row in chunk for name in row)
        texts = read_texts(chunk, text_columns, with_words)
        for number, text in enumerate(texts, rows + 1):
            for place, (name, cell) in enumerate(zip(text_columns, text, strict=True)):
                check_text(cell, f"Row {number} of {path}: the column {name!r}", with_words and place == 0)
        missing += sum(any(map(is_missing, text)) for text in texts)
        if with_types and schema is None and not of_strings:
            types = _widened(path, types, chunk, list(columns), rows)
            for number, row in enumerate(chunk, rows + 1):
                for name, cell in row.items():
                    for key in _large(cell, (name,)):
                        large.setdefault(key, (number, cell))
        rows += len(texts)
    if rows == 0:
        raise ValueError(f"{path} must have at least one row, found none. Name another file.")
    _check_columns(path, text_columns, list(columns))
    if types is not None:
        _check_large(path, types, large)
    if of_strings:
        types = pa.schema({name: pa.string() for name in columns})
    return Survey(rows, missing, list(columns), types if schema is None else schema)


def _check_columns(path: Path, text_columns: Sequence[str], columns: Sequence[str]) -> None:
    absent = [name for name in text_columns if name not in columns]
    if absent:
        raise ValueError(
            f"{path} must have the columns {list(text_columns)} with the texts, found the columns {list(columns)}. "
            "Name yours by --text and --text_pair."
        )


def _widened(
    path: Path, types: pa.Schema | None, chunk: list[dict[str, object]], columns: Sequence[str], before: int
) -> pa.Schema:
    """`types`, and those of a chunk: whole numbers may become fractions, and nothing anything else."""
    for name in columns:
        cells = [row.get(name) for row in chunk]
        types = _with_column(path, types, name, cells, before)
    assert types is not None
    return types


def _with_column(path: Path, types: pa.Schema | None, name: str, cells: list[object], before: int) -> pa.Schema:
    try:
        found = pa.schema({name: pa.array(cells).type})
        return found if types is None else pa.unify_schemas([types, found], promote_options="permissive")
    except (pa.ArrowException, TypeError, OverflowError) as error:
        place = next((place for place, cell in enumerate(cells) if any(True for _ in _large(cell, ()))), None)
        if place is not None and any(words in str(error) for words in OUT_OF_RANGE):
            raise _too_large(path, name, before + place + 1, cells[place]) from error
        raise ValueError(
            f"{path}, rows {before + 1} to {before + len(cells)}: to be written as parquet, the column {name!r} must "
            f"be of one type, found: {error}. Write jsonl, or correct the rows."
        ) from error


def _large(cell: object, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where in a cell whole numbers stand that a column of fractions may not hold."""
    if isinstance(cell, int):
        if abs(cell) > LARGEST_EXACT:
            yield key
    elif isinstance(cell, list):
        for item in cell:
            yield from _large(item, (*key, "[]"))
    elif isinstance(cell, dict):
        for name, value in cell.items():
            yield from _large(value, (*key, name))


def _check_large(path: Path, types: pa.Schema, large: Mapping[tuple[str, ...], tuple[int, object]]) -> None:
    """Raise where the type of a column, which all its cells decide, does not hold a large whole number in it."""
    for (name, *_), (row, cell) in large.items():
        if not _holds(types.field(name).type, cell):
            raise _too_large(path, name, row, cell)


def _holds(kind: pa.DataType, cell: object) -> bool:
    try:
        pa.array([cell], kind)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def _too_large(path: Path, name: str, row: int, cell: object) -> ValueError:
    return ValueError(
        f"{path}, row {row}: to be written as parquet, the column {name!r} must hold whole numbers of at most "
        f"{LARGEST_EXACT:,} beside fractions, found {str(cell)[:200]}. Write jsonl, or correct the rows."
    )
