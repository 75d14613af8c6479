"""Columns of rows, read from Arrow into arrays.

Letters of the shapes: N rows, V values of all rows, one row's after another's.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

PIECE = 100_000
"""Rows that are read together: so few that no list's offsets leave 32 bits, and that a copy of them is small."""


class NotFlatError(Exception):
    """Rows cannot be held as flat arrays: the message says why."""


def chunks(datasets: Sequence[Dataset], name: str) -> Iterator[pa.Array]:
    """The column `name` of all `datasets`, chunk by chunk; without a copy where rows are not picked from others."""
    for rows in datasets:
        for table in rows.with_format("arrow", columns=[name]).iter(PIECE):
            yield from table[name].chunks


def present(datasets: Sequence[Dataset], name: str) -> bool:
    """Whether all `datasets` have the column `name`; not, where none has it.

    Raises:
        NotFlatError: Some have it.
    """
    having = [name in rows.column_names for rows in datasets]
    if any(having) and not all(having):
        raise NotFlatError(f"only some datasets have the column {name!r}")
    return all(having)


def fields(column: Iterable[pa.Array], names: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
    """The fields `names` of each chunk of a column of mappings; nulls where there is no such field.

    Raises:
        NotFlatError: The column holds something else.
    """
    for chunk in column:
        kind = chunk.type
        if not (pa.types.is_struct(kind) or pa.types.is_null(kind)):
            raise NotFlatError(f"there is a column of {kind} in place of mappings")
        known = [field.name for field in kind] if pa.types.is_struct(kind) else []
        yield {name: pc.struct_field(chunk, name) if name in known else pa.nulls(len(chunk)) for name in names}


def whole_numbers(values: pa.Array, missing: int, kind: str = "int64") -> NDArray[Any]:
    """An array of whole numbers, (N,), `missing` where there is none.

    Raises:
        NotFlatError: They are something else, or do not fit into `kind`.
    """
    if not _is(values.type, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null):
        raise NotFlatError(f"there are values of {values.type} in place of whole numbers")
    try:
        filled = pc.fill_null(pc.cast(values, kind), missing)
    except pa.ArrowInvalid as error:
        raise NotFlatError(str(error)) from error
    found: NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return found


def real_numbers(values: pa.Array) -> NDArray[np.float32]:
    """An array of numbers, (N,), NaN where there is none.

    Raises:
        NotFlatError: They are something else, or infinite.
    """
    if not _is(values.type, pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null):
        raise NotFlatError(f"there are values of {values.type} in place of numbers")
    exact = pc.cast(values, "float64", safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(exact).any():
        raise NotFlatError("a number is infinite")
    with np.errstate(over="ignore"):
        return np.asarray(exact, dtype=np.float32)


def list_lengths(lists: pa.Array) -> NDArray[np.int64]:
    """Length of each list, (N,), -1 where there is none.

    Raises:
        NotFlatError: They are no lists.
    """
    if pa.types.is_null(lists.type):
        return np.full(len(lists), -1)
    if not _is(lists.type, pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list):
        raise NotFlatError(f"there are values of {lists.type} in place of lists")
    return whole_numbers(pc.list_value_length(lists), -1)


def column_lengths(rows: Dataset, name: str) -> NDArray[np.int64]:
    """Length of each list in the column `name`, (N,), -1 where there is none."""
    return np.concatenate([list_lengths(piece) for piece in chunks([rows], name)])


def list_values(lists: pa.Array) -> pa.Array:
    """The values of all lists, (V,)."""
    return pa.nulls(0) if pa.types.is_null(lists.type) else lists.flatten()


def joined(pieces: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """The `pieces` as one array of `kind`, with at least one value, so that there is something to read."""
    values = np.concatenate([np.empty(0, kind), *pieces])
    return values if len(values) else np.zeros(1, kind)


def _is(kind: pa.DataType, *tests: Any) -> bool:
    return any(test(kind) for test in tests)
