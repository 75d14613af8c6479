"""A frozen encoder: its embeddings are computed once, and training reads them in place of the texts."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset, concatenate_datasets
from torch import nn

from ..data.mixing import lengths_of
from .layerwise import find_backbone
from .sweep import KEPT, summed, sweep


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

    Each text is encoded once, in a [`sweep`]. Several processes share the texts out and all get all embeddings.

    Args:
        model: A [`MultiTaskModel`], wrapped or not, on its device.
        rows: Tokenised rows; their `KEPT` columns are kept.
        collate: Makes a batch of the model's inputs from rows; see [`MultiTaskCollator`].
        batch_size: Texts encoded at once.
    """
    kept = rows.select_columns([name for name in KEPT if name in rows.column_names])
    config: Any = model.config
    embeddings_ND = torch.zeros(len(rows), config.hidden_size)

    def take(indices: list[int], output: Any) -> None:
        embeddings_ND[indices] = output.sentence_embedding.float().cpu()

    sweep(model, rows, collate, batch_size, take)
    embeddings_ND = summed(embeddings_ND)
    values = pa.FixedSizeListArray.from_arrays(embeddings_ND.numpy().ravel(), embeddings_ND.shape[1])
    columns = {} if "length" in kept.column_names else {"length": pa.array(lengths_of(rows))}  # no tokens will tell it
    embedded = Dataset(pa.table({**columns, "sentence_embedding": values}))
    joined: Dataset = concatenate_datasets([kept, embedded], axis=1)
    # As arrays, not lists: a row is then read about as fast as its targets alone.
    return joined.with_format("numpy", columns=["sentence_embedding"], output_all_columns=True)
