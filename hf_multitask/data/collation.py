"""From rows to padded tensors, with a label tensor for every task in every batch."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.data.data_collator import pad_without_fast_tokenizer_warning

from ..modeling.losses import IGNORE_INDEX


class MultiTaskCollator:
    """Makes a batch of tokenised rows.

    A call returns `input_ids`, `attention_mask` and what else the tokenizer gave, each (B, L), and `labels`, per task
    (B,) int64 with -100 where the row has no target. `labels` is absent where the rows have no `targets`.

    Padding always goes to the right, also for decoders, whose tokenizers often pad on the left: pooling ignores it
    anywhere, but models with absolute positions would number the tokens differently from batch to batch.

    Args:
        tokenizer: Knows the padding token and the names of the model's inputs.
        tasks: Names of all the model's tasks.

    Raises:
        ValueError: There is no tokenizer, or it has no padding token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, tasks: Sequence[str]) -> None:
        if tokenizer is None or tokenizer.pad_token is None:
            raise ValueError(
                "Batches need a tokenizer with a padding token, found "
                f"{'no tokenizer' if tokenizer is None else 'none in it'}. "
                "Pass processing_class=tokenizer, with tokenizer.pad_token = tokenizer.eos_token where it has none."
            )
        self.tokenizer = tokenizer
        self.tasks = list(tasks)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The batch of `rows`, each with the tokenizer's outputs as lists and maybe `targets`."""
        names = self.tokenizer.model_input_names
        features = [{name: row[name] for name in names if name in row} for row in rows]
        batch: dict[str, Any] = dict(
            pad_without_fast_tokenizer_warning(
                self.tokenizer, features, padding=True, padding_side="right", return_tensors="pt"
            )
        )
        if any("targets" in row for row in rows):
            batch["labels"] = {task: self._labels(rows, task) for task in self.tasks}
        return batch

    def _labels(self, rows: Sequence[dict[str, Any]], task: str) -> Tensor:
        targets = [(row.get("targets") or {}).get(task) for row in rows]
        for target in targets:
            if target is not None and not isinstance(target, Integral):
                raise ValueError(
                    f"Task {task!r}: a target must be the index of a label, found {target!r} "
                    f"({type(target).__name__}). Map each label to its index, and use None where there is none."
                )
        return torch.tensor([IGNORE_INDEX if target is None else target for target in targets], dtype=torch.int64)
