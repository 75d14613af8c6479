"""How csv and tsv files are read: every cell as the string that stands there, or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
from datasets import Features, Value

from ..files.csv_rows import MalformedError, csv_rows

CHUNK = 100_000
"""Rows that are read together: as strings of Python they take several times the memory that they have in the file."""

ENCODING = "utf-8-sig"
"""UTF-8, with a byte order mark or without."""


def check_cells(files: Sequence[Path], suffix: str) -> None:
    """Raise where a row has too few or too many cells, or a quote has no end.

    The reader of `datasets` takes what lacks for missing targets, and all rows up to the next quote for one cell.

    Raises:
        ValueError: The message tells the file and the row.
    """
    for file in files:
        with fsspec.open(str(file), "rt", encoding=ENCODING, newline="", compression="infer") as lines:
            try:
                for _ in csv_rows(lines, suffix):
                    pass
            except MalformedError as error:
                raise ValueError(f"in {file.name}, {error}") from None


def csv_options(files: Sequence[Path], suffix: str) -> dict[str, Any]:
    """What to tell the reader of `datasets`.

    Raises:
        ValueError: A file has no row or a column twice, or they have different columns.
    """
    cells = {
        "sep": "\t" if suffix == "tsv" else ",",
        "encoding": ENCODING,
        "keep_default_na": False,
        "na_values": [""],
    }
    columns = [_columns(file, cells) for file in files]
    if any(set(names) != set(columns[0]) for names in columns):
        raise ValueError(f"different columns, {' and '.join(map(str, columns))}")
    features = Features({name: Value("string") for name in columns[0]})
    return cells | {"features": features, "chunksize": CHUNK}


def _columns(file: Path, cells: Mapping[str, Any]) -> list[str]:
    """The columns of a csv or tsv file.

    Its first two lines are read as plain rows: if the first row after the header were longer than the header, pandas
    would take the surplus for names of rows, and so shift every cell into a column that is not its own.
    """
    head = pd.read_csv(file, header=None, nrows=2, dtype=str, **cells)
    names = head.iloc[0].dropna()
    if len(head) < 2:
        raise ValueError(f"a header, {', '.join(names)}, and no row")
    if names.duplicated().any():
        raise ValueError(f"the column {names[names.duplicated()].iloc[0]!r} twice")
    return list(pd.read_csv(file, nrows=0, **cells).columns)
