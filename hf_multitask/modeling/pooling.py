"""From token embeddings to one sentence embedding.

Letters of the shapes: B texts, L tokens (padding included), D hidden size.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def mean_pooling(hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    r"""Mean of the real tokens' embeddings,

    $$ s_b = \frac{\sum_l m_{bl} h_{bl}}{\max(1, \sum_l m_{bl})}. $$
    """
    # Zeros in place of padding, not a product with the mask: 0 * nan is nan.
    total_BD = hidden_BLD.masked_fill(~mask_BL[..., None], 0.0).sum(dim=1)
    return total_BD / mask_BL.sum(dim=1, keepdim=True).clamp(min=1)


def max_pooling(hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Largest value of each feature over the real tokens; zeros for a text without any."""
    largest_BD = hidden_BLD.masked_fill(~mask_BL[..., None], float("-inf")).amax(dim=1)
    return largest_BD.masked_fill(~mask_BL.any(dim=1)[:, None], 0.0)


def cls_pooling(hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Embedding of the first real token; zeros for a text without any."""
    return _token_at(mask_BL.int().argmax(dim=1), hidden_BLD, mask_BL)


def last_pooling(hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Embedding of the last real token (the one that saw all others in a decoder); zeros for a text without any."""
    positions_L = torch.arange(mask_BL.shape[1], device=mask_BL.device)
    return _token_at((mask_BL * positions_L).argmax(dim=1), hidden_BLD, mask_BL)


def _token_at(index_B: Tensor, hidden_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    rows_B = torch.arange(hidden_BLD.shape[0], device=hidden_BLD.device)
    return hidden_BLD[rows_B, index_B].masked_fill(~mask_BL.any(dim=1)[:, None], 0.0)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean_pooling,
    "cls": cls_pooling,
    "max": max_pooling,
    "last": last_pooling,
}


def pool(hidden_BLD: Tensor, attention_mask_BL: Tensor, pooling: str) -> Tensor:
    """The sentence embeddings, (B, D), in the dtype of `hidden_BLD`.

    Computed in float32: in float16 a sum over 512 tokens overflows and in bfloat16 a count of 259 is 260. Padding has
    no influence on the result and gets no gradient, wherever it stands.

    Args:
        hidden_BLD: Token embeddings, the backbone's last hidden state.
        attention_mask_BL: 1 for real tokens, 0 for padding.
        pooling: A name in `POOLINGS`.
    """
    return POOLINGS[pooling](hidden_BLD.float(), attention_mask_BL.bool()).to(hidden_BLD.dtype)
