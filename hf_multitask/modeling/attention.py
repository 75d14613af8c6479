"""Attention within the texts of a packed batch, as an attention implementation of transformers.

Letters of the shapes: A attention heads, K heads of keys and values, T tokens of all texts, H size of a head.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .packing import LAYOUTS, PACKABLE, PACKED_ATTENTION, Packing


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
    tokens = [t.squeeze(0) for t in (query, repeat_kv(key, groups), repeat_kv(value, groups))]
    is_causal = kwargs.get("is_causal")
    how: Any = {
        "dropout": dropout,
        "scaling": query.shape[-1] ** -0.5 if scaling is None else scaling,
        "is_causal": bool(getattr(module, "is_causal", False) if is_causal is None else is_causal),
        "window": kwargs.get("sliding_window"),
    }
    seen_TAH = packing.attend(packing.texts, packing.places, *tokens, **how)
    return seen_TAH[None].contiguous(), None


def why_not_packed(model: Any) -> str:
    """Why the model's batches cannot be packed, in words; nothing where they can."""
    text_config = model.config.text_config
    if text_config.model_type not in PACKABLE:
        return f"the architecture {text_config.model_type!r} is not known to compute the same"
    if text_config._attn_implementation not in ("sdpa", PACKED_ATTENTION):
        return f"the model was opened with attn_implementation={text_config._attn_implementation!r}"
    if model.device.type not in LAYOUTS:
        return f"it is not known to be faster on {model.device.type}"
    return ""


def prefer_packed(model: Any) -> None:
    """Make a model read batches without padding from now on, where that computes the same and is faster.

    It is not undone after use: another thread may be in the middle of a batch. Where a batch is not packed, such as one
    with padding on the left, this attention is that of "sdpa".
    """
    if model.config.text_config._attn_implementation != PACKED_ATTENTION and not why_not_packed(model):
        model.set_attn_implementation(PACKED_ATTENTION)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, sdpa_mask)
