"""From rows to padded tensors, with a label tensor for every task in every batch."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.data.data_collator import pad_without_fast_tokenizer_warning

from ..modeling.labels import IGNORE_INDEX
from ..modeling.task import Task


class MultiTaskCollator:
    """Makes a batch of tokenised rows.

    A call returns

    - `input_ids`, `attention_mask` and what else the tokenizer gave, each (B, L); or `sentence_embedding` (B, D)
      float32, where the rows have embeddings computed earlier in place of tokens;
    - `pair_input_ids` and `pair_attention_mask` (S, L') and `pair_rows` (S,), of the S rows that have a second text,
      where there are any;
    - `labels`, per task (B,) int64, or (B, L) for a token classification, with -100 where there is no target; or (B, C)
      float32 for the other kinds, with NaN. They are absent where the rows have no `targets`;
    - `teacher_logits`, per task that a row has them for, (B, C) float32, or (B, L, C) for a token classification, with
      NaN where there are none;
    - `row_ids`, which tell where rows are from, where they have a `row`.

    Padding always goes to the right, also for decoders, whose tokenizers often pad on the left: pooling ignores it
    anywhere, but models with absolute positions would number the tokens differently from batch to batch.

    Args:
        tokenizer: Knows the padding token and the names of the model's inputs.
        tasks: All the model's tasks.

    Raises:
        ValueError: There is no tokenizer, or it has no padding token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, tasks: Sequence[Task]) -> None:
        if tokenizer is None or tokenizer.pad_token is None:
            raise ValueError(
                "Batches need a tokenizer with a padding token, found "
                f"{'no tokenizer' if tokenizer is None else 'none in it'}. "
                "Pass processing_class=tokenizer, with tokenizer.pad_token = tokenizer.eos_token where it has none."
            )
        self.tokenizer = tokenizer
        self.tasks = list(tasks)

    def __call__(self, rows: Sequence[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
        """The batch of `rows`, each with the tokenizer's outputs as lists and maybe `targets`.

        What is a batch already, as [`FlatRows`] make it, is returned as it is.
        """
        if isinstance(rows, dict):
            return rows
        batch = self._inputs(rows)
        length = batch["input_ids"].shape[1] if "input_ids" in batch else 0
        if any("targets" in row for row in rows):
            batch["labels"] = {task.name: self._labels(rows, task, length) for task in self.tasks}
        if taught := {name for row in rows for name in row.get("teacher_logits") or ()}:
            tasks = [task for task in self.tasks if task.name in taught]
            batch["teacher_logits"] = {task.name: _teacher_logits(rows, task, length) for task in tasks}
        if any("row" in row for row in rows):
            batch["row_ids"] = [row.get("row") for row in rows]
        return batch

    def _inputs(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        embedded = [row.get("sentence_embedding") is not None for row in rows]
        if any(embedded):
            if not all(embedded):
                raise ValueError(
                    f"All rows of a batch must have a sentence_embedding, or none, found it in {sum(embedded)} of "
                    f"{len(rows)}. Compute it for all."
                )
            embeddings = [np.asarray(row["sentence_embedding"], dtype=np.float32) for row in rows]
            return {"sentence_embedding": torch.from_numpy(np.stack(embeddings))}
        untokenised = next((row for row in rows if "input_ids" not in row), None)
        if untokenised is not None:
            raise ValueError(
                f"Rows must have input_ids, found one with {[name for name in untokenised if name != 'row']}. Pass "
                "those of tokenize(rows, tokenizer, max_length=...)."
            )
        names = self.tokenizer.model_input_names
        batch = self._pad([{name: row[name] for name in names if name in row} for row in rows])
        second = {index: ids for index, row in enumerate(rows) if (ids := row.get("pair_input_ids")) is not None}
        if second:
            # The masks are given: a tokenizer whose padding token is also a word's must not guess them.
            padded = self._pad([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in second.values()])
            batch |= {f"pair_{name}": padded[name] for name in ("input_ids", "attention_mask")}
            batch["pair_rows"] = torch.tensor(list(second), dtype=torch.int64)
        return batch

    def _pad(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(
            pad_without_fast_tokenizer_warning(
                self.tokenizer, features, padding=True, padding_side="right", return_tensors="pt"
            )
        )

    def _labels(self, rows: Sequence[dict[str, Any]], task: Task, length: int) -> Tensor:
        targets = [(row.get("targets") or {}).get(task.name) for row in rows]
        if task.reads_tokens:
            found = [
                _token_labels(task, target, len(row.get("input_ids", ())), length)
                for target, row in zip(targets, rows, strict=True)
            ]
            return torch.tensor(found, dtype=torch.int64).reshape(len(rows), length)
        if task.is_choice:
            return torch.tensor([_index(task, target) for target in targets], dtype=torch.int64)
        return torch.tensor([_numbers(task, target) for target in targets], dtype=torch.float32)


def _teacher_logits(rows: Sequence[dict[str, Any]], task: Task, length: int) -> Tensor:
    """The rows' flat lists of logits as one tensor."""
    logits = torch.full((len(rows), length if task.reads_tokens else 1, task.num_labels), math.nan)
    for index, row in enumerate(rows):
        values = (row.get("teacher_logits") or {}).get(task.name)
        if values is not None:
            found = torch.tensor(values, dtype=torch.float32).reshape(-1, task.num_labels)
            logits[index, : len(found)] = found
    return logits if task.reads_tokens else logits[:, 0]


def _index(task: Task, target: Any) -> int:
    if target is None:
        return IGNORE_INDEX
    if not isinstance(target, Integral):
        raise ValueError(
            f"Task {task.name!r}: a target must be the index of a label, found {target!r} "
            f"({type(target).__name__}). Map each label to its index, and use None where there is none."
        )
    index = int(target)
    if index != IGNORE_INDEX and not 0 <= index < task.num_labels:
        raise ValueError(
            f"Task {task.name!r}: a target must be the index of one of {task.num_labels} labels, found {target}. Map "
            "each label to its index, from 0, and use None where there is none."
        )
    return index


def _token_labels(task: Task, target: Any, num_tokens: int, length: int) -> list[int]:
    """The labels of a row's tokens, padded to `length`."""
    if target is None:
        return [IGNORE_INDEX] * length
    if isinstance(target, str) or not isinstance(target, Sequence | np.ndarray) or len(target) != num_tokens:
        raise ValueError(
            f"Task {task.name!r}: a target must be a list with a label index for each of the {num_tokens} tokens, -100 "
            f"where there is none, found {target!r}. Let hf_multitask.tokenize align the labels of words."
        )
    return [_index(task, label) for label in target] + [IGNORE_INDEX] * (length - num_tokens)


def _numbers(task: Task, target: Any) -> list[float]:
    """The C numbers of a row, NaN where unknown; one number may stand by itself."""
    if target is None:
        return [math.nan] * task.num_labels
    values = [target] if isinstance(target, Real) and task.num_labels == 1 else target
    is_list = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    if not is_list or len(values) != task.num_labels or not all(isinstance(v, Real | None) for v in values):
        raise ValueError(
            f"Task {task.name!r}: a target must be a list of {task.num_labels} numbers, NaN where one is unknown, "
            f"found {target!r}. Use None where there is none at all."
        )
    numbers = [math.nan if value is None else float(value) for value in values]
    if any(math.isinf(number) for number in numbers):
        raise ValueError(f"Task {task.name!r}: a target must be finite, found {target!r}. Correct it, or use None.")
    return numbers
