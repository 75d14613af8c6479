"""What a cell of raw data holds: a label, a number or a list."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Json, LargeList, List

WHOLE = re.compile(r"[-+]?\d+")
FRACTION = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
"""Numbers as programs write floats: 1.0, .5, 2e-05."""

LARGEST = float(np.finfo(np.float32).max)
"""Models compute in float32, to which a larger number is infinite."""


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def label_of(value: Any, class_names: Sequence[str] | None, place: str) -> str | None:
    """The label a cell holds, as a string; `None` for an empty cell.

    Args:
        value: The cell.
        class_names: Names of the classes where the column is a `ClassLabel`.
        place: Task and row, for messages.

    Raises:
        ValueError: The cell is no label: a fraction, a list, a mapping ...
    """
    if is_empty(value):
        return None
    if class_names is not None and isinstance(value, int):
        return None if value < 0 else class_names[value]  # -1 is how `datasets` marks an unlabelled row
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):  # bool too
        return str(value)
    if isinstance(value, float) and value.is_integer():  # pandas makes floats of whole numbers beside missing ones
        return str(value)
    raise ValueError(
        f"{place}: a label must be a string or a whole number, found {shown(value)} ({type(value).__name__}). "
        "Store the labels as strings, or drop the row."
    )


def spelled(value: Any, label: str, labels: Iterable[str]) -> str:
    """`label`, which the cell `value` holds, as the `labels` spell it.

    The true and false of JSON and parquet have no capitals of their own: they are the `true` of one csv file and the
    `True` of another, and `True` where no label is either.
    """
    if not isinstance(value, bool) or label in labels:
        return label
    return next((known for known in labels if known.lower() == label.lower()), label)


def number_of(value: Any, place: str) -> float | None:
    """The number a cell holds; `None` for an empty cell.

    Args:
        value: The cell; a string is read as programs write numbers.
        place: Task and row, for messages.

    Raises:
        ValueError: The cell is no number, or one that float32 cannot hold.
    """
    if is_empty(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        number = float(text) if WHOLE.fullmatch(text) or FRACTION.fullmatch(text) else math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) <= LARGEST else math.nan  # an int may be too large to convert
    else:
        number = math.nan
    if not abs(number) <= LARGEST:  # NaN too
        raise ValueError(
            f"{place}: a target must be a finite number, found {shown(value)} ({type(value).__name__}). Correct it, "
            "leave the cell empty, or drop the row."
        )
    return number


def list_of(value: Any, place: str) -> list[Any] | None:
    """The list a cell holds, as it is or as JSON; `None` for an empty cell.

    Raises:
        ValueError: The cell is no list.
    """
    if is_empty(value):
        return None
    found = _as_list(value)
    if found is None:
        raise ValueError(
            f"{place}: the cell must hold a list, found {shown(value)} ({type(value).__name__}). Write it as JSON, "
            'such as ["a", "b"], or drop the row.'
        )
    return found


def is_list(value: Any) -> bool:
    """Whether a cell holds a list, as it is or as JSON."""
    return not is_empty(value) and _as_list(value) is not None


def _as_list(value: Any) -> list[Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
            json.dumps(value, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def class_names(features: Features, column: str) -> list[str] | None:
    """Names of the classes where `column` is a `ClassLabel`, or has lists of them."""
    feature = features[column]
    if isinstance(feature, List | LargeList):
        feature = feature.feature
    return feature.names if isinstance(feature, ClassLabel) else None


def is_mixed(feature: Any) -> bool:
    """Whether a column of `feature` holds values of several types, or lists of such."""
    return isinstance(feature.feature if isinstance(feature, List | LargeList) else feature, Json)


def cells_of(dataset: Dataset, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """The cells of every row in `columns`."""
    rows = dataset.select_columns(list(columns))[:]
    return zip(*(rows[column] for column in columns), strict=True)


def shown(value: Any) -> str:
    """`value` as a message shows it, however long it is."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
