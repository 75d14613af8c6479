"""Second texts of similarity pairs, encoded in the same pass as the first ones.

Letters of the shapes: B texts, S second texts, L tokens, D hidden size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from .heads import cosine_logits


def stack_texts(texts: Mapping[str, Tensor], second: Mapping[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    """One batch (B + S, L) of `texts` (B, .) and below them the `second` texts (S, .), padded to the longer of both.

    In one batch, because every process of a sharded model must call its encoder equally often, also where only one of
    them has pairs.
    """
    length = max(texts["input_ids"].shape[1], second["input_ids"].shape[1])
    stacked = {}
    for name, ids in texts.items():
        value = pad_token_id if name == "input_ids" else 0
        # A text by itself is all of one segment: token_type_ids of 0, where the first texts have any.
        below = second[name] if name in second else torch.zeros_like(second["input_ids"])
        parts = [F.pad(part, (0, length - part.shape[1]), value=value) for part in (ids, below)]
        stacked[name] = torch.cat(parts)
    return stacked


def pair_logits(embedding_BD: Tensor, second_SD: Tensor | None, rows_S: Tensor | None) -> Tensor:
    """Cosine of each text's embedding and its second text's, (B, 1) float32; NaN where it has none.

    Args:
        embedding_BD: Embeddings of the first texts.
        second_SD: Embeddings of the second texts.
        rows_S: The first text that each second text belongs to.
    """
    logits = torch.full((embedding_BD.shape[0], 1), float("nan"), device=embedding_BD.device)
    if second_SD is None or rows_S is None:
        return logits + 0 * embedding_BD[:, :1].float()  # a batch without pairs has a gradient too, of zeros
    return logits.index_copy(0, rows_S, cosine_logits(embedding_BD[rows_S], second_SD))
