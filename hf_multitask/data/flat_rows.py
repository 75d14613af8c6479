"""Tokenised rows as flat arrays, from which batches are made without looking at single rows."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from numpy.typing import NDArray

from .collation import MultiTaskCollator
from .flat_columns import NotFlatError, chunks, present
from .flat_inputs import FlatEmbeddings, FlatInputs
from .flat_targets import FlatAnswers, FlatTargets
from .mixing import Mixture

logger = logging.getLogger(__name__)


class FlatRows(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows of several datasets, one dataset after another, read once from Arrow into arrays.

    What `__getitems__` returns is a batch already, the one that `collate` makes of the same rows; the index
    `len(flat_rows)` is a filler, as in a [`Mixture`]. A token takes 4 bytes, a row some 12 bytes and its targets. A
    loader's workers share the arrays where they are forked.

    Args:
        datasets: Tokenised rows, maybe with `targets`.
        collate: Which batches are wanted.

    Raises:
        NotFlatError: The rows cannot be held so; `collate` may be able to read them one by one, or say what is wrong.
    """

    def __init__(self, datasets: Sequence[Dataset], collate: MultiTaskCollator) -> None:
        for rows in datasets:
            _check_format(rows)
        self._num_rows = sum(map(len, datasets))
        if self._num_rows == 0:
            raise NotFlatError("there are no rows")
        embedded = present(datasets, "sentence_embedding")
        if embedded and any(task.reads_tokens for task in collate.tasks):
            raise NotFlatError("a task reads tokens, and rows have none")
        self._inputs = FlatEmbeddings(datasets) if embedded else FlatInputs(datasets, collate.tokenizer)
        self.lengths = lengths = self._inputs.lengths
        """Tokens of every row's first text, (N,); 0 where rows have embeddings."""
        read: dict[str, Callable[[], Any]] = {
            "targets": lambda: FlatTargets(chunks(datasets, "targets"), collate.tasks, lengths),
            "teacher_logits": lambda: FlatAnswers(chunks(datasets, "teacher_logits"), collate.tasks, lengths),
            "row": lambda: _joined_ids(datasets),
        }
        self._targets, self._answers, self._row_ids = (
            make() if present(datasets, name) else None for name, make in read.items()
        )

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The batch of one row."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """The batch of the rows at `indices`, in that order."""
        rows = np.asarray(indices, dtype=np.int64)
        if not 0 <= min(indices) <= max(indices) <= self._num_rows:
            raise IndexError(
                f"Indices must be in 0 to {self._num_rows}, the filler, found {list(indices)}. Take them from order()."
            )
        batch: dict[str, Any] = self._inputs.batch(rows)
        length = batch["input_ids"].shape[1] if "input_ids" in batch else 0
        if self._targets is not None:
            batch["labels"] = self._targets.batch(rows, length)
        if self._answers is not None and self._answers.any:
            batch["teacher_logits"] = self._answers.batch(rows, length)
        if self._row_ids is not None:
            batch["row_ids"] = self._row_ids[rows].tolist()
        return batch


def flattened(dataset: Any, collate: Any) -> Any:
    """The rows of a `Dataset` or a [`Mixture`] as [`FlatRows`]; as they are, where these could not give the same.

    That is so where `collate` is not a plain [`MultiTaskCollator`], and where it refuses rows, or knows more of them.
    """
    if type(collate) is not MultiTaskCollator or type(dataset) not in (Dataset, Mixture):
        return dataset
    try:
        return FlatRows(list(dataset.datasets.values()) if isinstance(dataset, Mixture) else [dataset], collate)
    except NotFlatError as error:
        logger.info("Batches are made row by row: %s", error)
        return dataset


def _check_format(rows: Dataset) -> None:
    """Raise unless the dataset gives its rows as they are stored: embeddings alone may come as arrays."""
    kind, columns = rows.format["type"], rows.format["columns"]
    as_stored = kind is None and set(columns) == set(rows.column_names)
    if not as_stored and not (kind == "numpy" and columns == ["sentence_embedding"]):
        raise NotFlatError(f"rows have the format {kind!r}")


def _joined_ids(datasets: Sequence[Dataset]) -> NDArray[Any]:
    """Where each row is from, (N + 1,), without an object for each; the filler is from where the first is."""
    kind = np.dtypes.StringDType(na_object=None)
    pieces = []
    for column in chunks(datasets, "row"):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise NotFlatError(f"the ids of rows are of {column.type}")
        pieces.append(column.to_numpy(zero_copy_only=False).astype(kind))
    return np.concatenate([*pieces, pieces[0][:1]])
