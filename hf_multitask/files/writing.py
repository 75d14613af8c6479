"""Rows and their answers, written part by part and joined."""

import base64
import csv
import datetime
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .reading import Chunk

GROUPED = 16_384
"""Rows of a parquet file that are stored together, at least: many for compression, few enough for the memory."""


def write_part(
    file: BinaryIO, kind: str, chunk: Chunk, answers: Mapping[str, Sequence[Any]], columns: list[str], schema: pa.Schema
) -> None:
    """Write a chunk of rows and the columns of their answers.

    Args:
        file: Where to.
        kind: csv (without a header), jsonl or parquet.
        chunk: The rows as they were read.
        answers: The columns to add.
        columns: The columns of the file, those of the answers last.
        schema: Their types, of a parquet file.
    """
    if kind == "parquet":
        _write_table(file, chunk, answers, schema)
        return
    rows = chunk.to_pylist() if isinstance(chunk, pa.Table) else chunk
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    for row, *told in zip(rows, *answers.values(), strict=True):
        found = row | {name: _shortest(cell) for name, cell in zip(answers, told, strict=True)}
        cells = {name: _plain(cell) for name, cell in found.items()}
        if kind == "jsonl":
            text.write(json.dumps(cells, ensure_ascii=False) + "\n")
        else:
            infinite = {name: str(cell) for name, cell in found.items() if isinstance(cell, float) and math.isinf(cell)}
            writer.writerow([infinite.get(name) or _csv_cell(cells.get(name)) for name in columns])
    text.detach()  # which writes what it holds, and leaves the file open


def join_parts(file: BinaryIO, kind: str, parts: Sequence[Path], columns: list[str], schema: pa.Schema) -> None:
    """Write all parts into one file."""
    if kind == "parquet":
        with pq.ParquetWriter(file, schema) as writer:
            for table in _grouped(parts):
                writer.write_table(table, row_group_size=table.num_rows)
        return
    if kind == "csv":
        header = io.StringIO(newline="")
        csv.writer(header).writerow(columns)
        file.write(header.getvalue().encode())
    for part in parts:
        file.write(part.read_bytes())


def _write_table(file: BinaryIO, chunk: Chunk, answers: Mapping[str, Sequence[Any]], schema: pa.Schema) -> None:
    size = len(schema) - len(answers)
    own = pa.schema([schema.field(place) for place in range(size)], schema.metadata)
    if isinstance(chunk, pa.Table):
        table = chunk.cast(own)
    else:
        table = pa.table([[row.get(name) for row in chunk] for name in own.names], schema=own)
    for place, (name, cells) in enumerate(answers.items(), size):
        table = table.append_column(schema.field(place), pa.array(cells, type=schema.field(name).type))
    pq.write_table(table, file)


def _grouped(parts: Sequence[Path]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for part in parts:
        held.append(pq.read_table(part))
        if sum(table.num_rows for table in held) >= GROUPED:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _plain(cell: Any) -> Any:
    """A cell of a file or an answer as JSON has it: ISO dates, bytes as base64, no number for NaN and infinity."""
    match cell:
        case float():
            return cell if math.isfinite(cell) else None
        case dict():
            return {key: _plain(value) for key, value in cell.items()}
        case list() | tuple():
            return [_plain(value) for value in cell]
        case datetime.date() | datetime.time():  # a datetime is a date
            return cell.isoformat()
        case bytes():
            return base64.b64encode(cell).decode()
        case datetime.timedelta() | Decimal():
            return str(cell)
    return cell


def _shortest(cell: Any) -> Any:
    """An embedding with the fewest digits that tell its float32 numbers; any other answer as it is."""
    return [float(number) for number in cell.astype(str)] if isinstance(cell, np.ndarray) else cell


def _csv_cell(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
