"""A frozen encoder: its embeddings are computed once, and training reads them in place of the texts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from datasets import Dataset, concatenate_datasets
from torch import Tensor, nn

from ..data.mixing import lengths_of
from .layerwise import find_backbone

KEPT = ("targets", "teacher_logits", "length", "row")
"""Columns of tokenised rows that are not the model's inputs."""


def reads_only_embeddings(model: nn.Module) -> bool:
    """Whether nothing of the encoder learns, and every task reads the sentence embedding of one text.

    The embeddings are then the same in every epoch.

    Args:
        model: A [`MultiTaskModel`], wrapped or not.
    """
    config: Any = model.config
    frozen = not any(parameter.requires_grad for parameter in find_backbone(model).parameters())
    return frozen and all(task.has_head and not task.reads_tokens for task in config.tasks)


def embed_rows(
    model: nn.Module, rows: Dataset, collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]], batch_size: int
) -> Dataset:
    """`rows` with their `length` and `sentence_embedding`, D float32 values, in place of tokens, in the same order.

    Each text is encoded once, as in evaluation: without dropout, which a frozen encoder otherwise has in training too.
    Long texts come first, with others of their length, so that little is padded. Several processes share the texts out
    and all get all embeddings.

    Args:
        model: A [`MultiTaskModel`], wrapped or not, on its device.
        rows: Tokenised rows; their `KEPT` columns are kept.
        collate: Makes a batch of the model's inputs from rows; see [`MultiTaskCollator`].
        batch_size: Texts encoded at once.
    """
    kept = rows.select_columns([name for name in KEPT if name in rows.column_names])
    inputs = rows.remove_columns(kept.column_names)
    batches = longest_first(rows, batch_size)
    processes = PartialState()
    config: Any = model.config
    embeddings_ND = torch.zeros(len(rows), config.hidden_size)
    was_training = model.training
    model.eval()
    try:
        for batch in batches[processes.process_index :: processes.num_processes]:
            embeddings_ND[batch] = _embed(model, collate(inputs.__getitems__(batch))).float().cpu()
    finally:
        model.train(was_training)
    if processes.num_processes > 1:  # the rows of the others are zeros
        embeddings_ND = reduce(embeddings_ND.to(processes.device), "sum").cpu()
    values = pa.FixedSizeListArray.from_arrays(embeddings_ND.numpy().ravel(), embeddings_ND.shape[1])
    columns = {} if "length" in kept.column_names else {"length": pa.array(lengths_of(rows))}  # no tokens will tell it
    embedded = Dataset(pa.table({**columns, "sentence_embedding": values}))
    joined: Dataset = concatenate_datasets([kept, embedded], axis=1)
    # As arrays, not lists: a row is then read about as fast as its targets alone.
    return joined.with_format("numpy", columns=["sentence_embedding"], output_all_columns=True)


@torch.no_grad()
def _embed(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    device = next(model.parameters()).device
    output = model(**{name: value.to(device) for name, value in batch.items()})
    embedding_BD: Tensor = output.sentence_embedding
    return embedding_BD


def longest_first(rows: Dataset, batch_size: int) -> list[list[int]]:
    """The indices of all rows, those of the longest first, in batches."""
    order: list[int] = np.argsort(-lengths_of(rows), kind="stable").tolist()
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
