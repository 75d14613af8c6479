"""The model's inputs of all rows as flat arrays, and padded tensors of some of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .flat_columns import NotFlatError, chunks, joined, list_lengths, list_values, present, real_numbers, whole_numbers
from .spans import Spans, gather

PADDED = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs that are known how to pad."""

NO_TOKEN = np.int64(0)


class FlatInputs:
    """Tokens of all rows, int32; masks and types only where they say more than the lengths of the texts.

    The row after the last, the filler, has the inputs of the first.

    Args:
        datasets: Tokenised rows.
        tokenizer: Knows how they are padded.

    Raises:
        NotFlatError: The tokenizer pads in its own way, or rows have inputs of other kinds.
    """

    def __init__(self, datasets: Sequence[Dataset], tokenizer: PreTrainedTokenizerBase) -> None:
        for name in ("pad", "_pad"):
            if getattr(getattr(tokenizer, name), "__func__", None) is not getattr(PreTrainedTokenizerBase, name):
                raise NotFlatError("the tokenizer pads in its own way")
        names = [name for name in tokenizer.model_input_names if present(datasets, name)]
        if tokenizer.model_input_names[0] != "input_ids" or names[:1] != ["input_ids"] or not set(names) <= set(PADDED):
            raise NotFlatError(f"the inputs are {names}")
        self._padding = np.int64(tokenizer.pad_token_id)
        self._type_of_padding = np.int64(tokenizer.pad_token_type_id)
        self._ids, self.lengths = _lists(datasets, "input_ids", "int32")
        if self.lengths.min() < 1:
            raise NotFlatError("a row has no token")
        self._spans = Spans(self.lengths, int(self.lengths[0]))
        self._has_mask = "attention_mask" in tokenizer.model_input_names
        self._mask = self._more(datasets, "attention_mask", 1) if "attention_mask" in names else None
        self._has_types = "token_type_ids" in names
        self._types = self._more(datasets, "token_type_ids", tokenizer.pad_token_type_id) if self._has_types else None
        self._pair_ids, self._pairs = self._second_texts(datasets)

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """The inputs of B rows: (B, L) each, and those of second texts where there are any."""
        places_BL, found_BL = self._spans.places(rows)
        inputs = {"input_ids": gather(self._ids, places_BL, found_BL, self._padding)}
        if self._has_types and self._types is None:
            inputs["token_type_ids"] = np.full(found_BL.shape, self._type_of_padding)
        elif self._types is not None:
            inputs["token_type_ids"] = gather(self._types, places_BL, found_BL, self._type_of_padding)
        if self._has_mask and self._mask is None:
            inputs["attention_mask"] = found_BL.astype(np.int64)
        elif self._mask is not None:
            inputs["attention_mask"] = gather(self._mask, places_BL, found_BL, NO_TOKEN)
        if self._pairs is not None:
            pair_rows = np.flatnonzero(self._pairs.lengths[rows] > 0)
            if len(pair_rows):
                places_SL, found_SL = self._pairs.places(rows[pair_rows])
                inputs["pair_input_ids"] = gather(self._pair_ids, places_SL, found_SL, self._padding)
                inputs["pair_attention_mask"] = found_SL.astype(np.int64)
                inputs["pair_rows"] = pair_rows
        return {name: torch.from_numpy(values) for name, values in inputs.items()}

    def _more(self, datasets: Sequence[Dataset], name: str, usual: int) -> NDArray[np.int8] | None:
        """What the column `name` says of each token, (V,); `None` where that is `usual` everywhere."""
        lengths, unusual = [], False
        for column in chunks(datasets, name):
            lengths.append(list_lengths(column))
            unusual = unusual or bool((whole_numbers(list_values(column), usual) != usual).any())
        if not np.array_equal(np.concatenate(lengths), self.lengths):
            raise NotFlatError(f"{name} is not as long as input_ids")
        return _lists(datasets, name, "int8")[0] if unusual else None

    def _second_texts(self, datasets: Sequence[Dataset]) -> tuple[NDArray[np.int32], Spans | None]:
        ids, lengths = [], []
        for rows in datasets:
            if "pair_input_ids" in rows.column_names:
                values, found = _lists([rows], "pair_input_ids", "int32")
                ids.append(values[: np.maximum(found, 0).sum()])
            else:
                found = np.full(len(rows), -1)
            lengths.append(found)
        all_lengths = np.concatenate(lengths)
        if all_lengths.max() < 0:
            return joined([], np.int32), None
        if (all_lengths == 0).any() or not self._has_mask:
            raise NotFlatError("second texts have no tokens, or no mask")
        return joined(ids, np.int32), Spans(all_lengths, int(all_lengths[0]))


class FlatEmbeddings:
    """The sentence embeddings of all rows, (N + 1, D) float32; those of the row after the last are the first's.

    Args:
        datasets: Rows with a `sentence_embedding`.

    Raises:
        NotFlatError: A row has none, or they are of several sizes.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        values, lengths = [], []
        for column in chunks(datasets, "sentence_embedding"):
            lengths.append(list_lengths(column))
            values.append(real_numbers(list_values(column)))
        self.lengths = np.zeros(sum(map(len, lengths)), dtype=np.int64)
        """Tokens of each row, (N,): none."""
        size = lengths[0][0]
        if size < 1 or (np.concatenate(lengths) != size).any():
            raise NotFlatError("not all rows have a sentence_embedding of one size")
        self._embeddings = np.concatenate([*values, values[0][:size]]).reshape(-1, size)

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """The embeddings of B rows, (B, D)."""
        return {"sentence_embedding": torch.from_numpy(self._embeddings[rows])}


def _lists(datasets: Sequence[Dataset], name: str, kind: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values of all rows' lists, (V,), and the length of each, (N,), -1 where a row has none.

    Raises:
        NotFlatError: A value is missing, or no whole number that fits into `kind`.
    """
    values, lengths = [], []
    for column in chunks(datasets, name):
        lengths.append(list_lengths(column))
        found = list_values(column)
        if found.null_count:
            raise NotFlatError(f"a value of {name} is missing")
        values.append(whole_numbers(found, 0, kind))
    return joined(values, kind), np.concatenate(lengths)
