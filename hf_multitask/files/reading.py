"""Rows of a file of any size, chunk by chunk."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from .csv_rows import MalformedError, csv_rows
from .formats import input_format

Chunk: TypeAlias = Any
"""Rows that follow each other: a `pyarrow.Table`, or a list of mappings from columns to cells."""

BUFFER = 1 << 20
"""Bytes of a column that are read ahead, in place of a whole row group."""


def read_chunks(path: Path, size: int) -> Iterator[Chunk]:
    """The rows of a file in chunks of `size`, the last of which may have fewer.

    Cells of csv and tsv files come as strings, empty ones as `None`; those of the others as they are.

    Raises:
        ValueError: The file is not what its name says; the message tells the row.
    """
    kind = input_format(path)
    try:
        if kind == "parquet":
            with pq.ParquetFile(path, buffer_size=BUFFER) as file:
                yield from _rechunked(file.iter_batches(size), size)
            return
        with fsspec.open(str(path), "rt", encoding="utf-8-sig", newline="", compression="infer") as lines:
            rows = _json_rows(lines) if kind == "jsonl" else _csv_rows(lines, kind)
            while chunk := list(itertools.islice(rows, size)):
                yield chunk
    except (OSError, EOFError, UnicodeError, pa.ArrowException, MalformedError) as error:
        raise ValueError(f"{path} must be readable {kind} in UTF-8, found: {error}. Correct the file.") from error


def read_schema(path: Path) -> pa.Schema | None:
    """The columns of a parquet file and their types; `None` of any other file, of which only all rows can tell."""
    if input_format(path) != "parquet":
        return None
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} must be readable parquet, found: {error}. Correct the file.") from error
    if len(set(schema.names)) < len(schema.names):
        raise ValueError(f"{path} must have columns of different names, found {schema.names}. Rename some.")
    return schema


def column_of(chunk: Chunk, name: str) -> list[Any]:
    """The cells of a column, `None` where a row has none."""
    if isinstance(chunk, pa.Table):
        cells: list[Any] = chunk[name].to_pylist()
        return cells
    return [row.get(name) for row in chunk]


def _rechunked(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Tables of `size` rows, wherever the file's own groups of rows end."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= size:
            yield pa.Table.from_batches([*held, batch.slice(0, size - count)])
            batch, held, count = batch.slice(size - count), [], 0
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


def _csv_rows(lines: Iterable[str], kind: str) -> Iterator[dict[str, str | None]]:
    rows = csv_rows(lines, kind)
    header = next(rows, [])
    if header.count("") > 1:  # as spreadsheets write columns without cells; named as pandas names them
        header = [name or f"Unnamed: {place}" for place, name in enumerate(header)]
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise MalformedError(f"the column {repeated[0]!r} twice")
    for row in rows:
        yield {name: cell or None for name, cell in zip(header, row, strict=True)}


def _json_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise MalformedError(f"in line {number} no mapping from columns to cells")
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
            yield row
    except (UnicodeError, RecursionError) as error:
        raise MalformedError(f"at line {number}: {error}") from error
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise MalformedError(f"in line {number}: {error}") from error
