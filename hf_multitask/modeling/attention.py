"""Attention within the texts of a packed batch, as an attention implementation of transformers.

Letters of the shapes: A attention heads, K heads of keys and values, N texts of a block, L tokens of each, T tokens of
all texts, H size of a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .packing import PACKABLE, PACKED_ATTENTION, Packing

PLAIN_LENGTH = 128
"""Tokens of a text up to which two matrix products and a softmax are the faster attention on a CPU."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What each token takes from its own text, (1, T, A, H); without a `packing`, that of "sdpa" for padded batches.

    Args:
        module: The backbone's attention layer, which knows whether tokens see those behind them.
        query: (1, A, T, H).
        key: (1, K, T, H).
        value: (1, K, T, H).
        attention_mask: Of a padded batch.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores; by default the inverse square root of H.
        packing: Of the batch.
        **kwargs: `sliding_window` and `is_causal` count, what else the backbone tells does not.
    """
    if packing is None:
        whole: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return whole
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    is_causal = kwargs.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", False)
    seen = []
    for start, texts, length, mask in packing.blocks:
        parts = (t[0, :, start : start + texts * length].unflatten(1, (texts, length)) for t in (query, key, value))
        query_ANLH, key_ANLH, value_ANLH = parts
        mask = _both(mask, _visible(length, is_causal, kwargs.get("sliding_window"), query.device))
        if query.device.type == "cpu" and length <= PLAIN_LENGTH:
            seen_ANLH = _plain_attention(query_ANLH, key_ANLH, value_ANLH, mask, dropout, scaling)
        else:
            seen_ANLH = F.scaled_dot_product_attention(
                query_ANLH, key_ANLH, value_ANLH, attn_mask=mask, dropout_p=dropout, scale=scaling
            )
        seen.append(seen_ANLH.flatten(1, 2))
    return torch.cat(seen, dim=1).transpose(0, 1)[None].contiguous(), None


def why_not_packed(model: Any) -> str:
    """Why the model's batches cannot be packed, in words; nothing where they can."""
    text_config = model.config.text_config
    if text_config.model_type not in PACKABLE:
        return f"the architecture {text_config.model_type!r} is not known to compute the same"
    if text_config._attn_implementation not in ("sdpa", PACKED_ATTENTION):
        return f"the model was opened with attn_implementation={text_config._attn_implementation!r}"
    if model.device.type != "cpu":
        return f"it is not known to be faster on {model.device.type}"
    return ""


def prefer_packed(model: Any) -> None:
    """Make a model read batches without padding from now on, where that computes the same and is faster.

    It is not undone after use: another thread may be in the middle of a batch. Where a batch is not packed, such as one
    with padding on the left, this attention is that of "sdpa".
    """
    if model.config.text_config._attn_implementation != PACKED_ATTENTION and not why_not_packed(model):
        model.set_attn_implementation(PACKED_ATTENTION)


def _plain_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float
) -> Tensor:
    scores = query * scaling @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.dropout(scores.softmax(dim=-1), dropout) @ value


def _both(padding: Tensor | None, visible: Tensor | None) -> Tensor | None:
    if padding is None or visible is None:
        return visible if padding is None else padding
    # Each token sees itself, so that a padding token with nothing in its window is no 0 / 0.
    return padding & visible | torch.eye(visible.shape[-1], dtype=torch.bool, device=visible.device)


def _visible(length: int, is_causal: bool, window: int | None, device: torch.device) -> Tensor | None:
    """Which token (L, .) sees which (., L), `None` for all; a window of w reaches w - 1 tokens far."""
    if not is_causal and (window is None or window >= length):
        return None
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None, :]
    visible = distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
    return visible if window is None else visible & (distance.abs() < window)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, sdpa_mask)
