"""Packed batches as a GPU likes them: one text behind the other, without any padding.

Letters of the shapes: E texts, L tokens of a row (padding included), T tokens of all texts, A attention heads, H size
of a head.
"""

import logging
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .visibility import both, visible

logger = logging.getLogger(__name__)

STEP = 64
"""What the length of the longest text is rounded up to, so that compiled code meets few lengths."""

SHORT = 64
"""Tokens of the longest text that is short: those of the largest tile of [`attend_short`]."""

WIDEST = 64
"""Largest size of a head that [`attend_short`] has been run with on a GPU."""

SHORT_TOLERANCE = 0.02
"""Largest relative difference, in the Frobenius norm, that bfloat16's eight bits account for."""


class Segments(NamedTuple):
    """Where the texts of a batch begin and end.

    Args:
        starts: (E + 1,) int32, the place of each text's first token among the T, and T.
        longest: At least the tokens of the longest text.
        is_real: (E, L), where tokens stand in the padded batch.
        flash_size: Up to which size of a head the device has torch's FlashAttention; 0 where it has none.
    """

    starts: Tensor
    longest: int
    is_real: Tensor
    flash_size: int

    def needs_starts_alone(self, dtype: torch.dtype, size: int) -> bool:
        """Whether no padding is brought back for the attention of heads of this size in this type.

        Then nothing but `starts` differs between batches with as many tokens and the same `longest`.
        """
        return dtype in (torch.float16, torch.bfloat16) and size <= self.flash_size and size % 8 == 0


def in_segments(lengths_E: NDArray[np.int64], size: int, device: torch.device) -> tuple[NDArray[np.int64], Segments]:
    """Where the tokens stand in the flattened batch, (T,), and where their texts begin.

    Args:
        lengths_E: Tokens of each text, which stand on the left.
        size: Tokens of a row of the batch, L.
        device: Of the batch.
    """
    is_real = np.arange(size) < lengths_E[:, None]
    starts = np.concatenate([[0], lengths_E.cumsum()]).astype(np.int32)
    longest = -(-int(lengths_E.max()) // STEP) * STEP
    return np.flatnonzero(is_real), Segments(
        on_device(starts, device), longest, on_device(is_real, device), _flash_size(device)
    )


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """The values there; the host does not wait for it."""
    tensor = torch.from_numpy(values)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def attend_segments(
    segments: Segments,
    places: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    dropout: float,
    scaling: float,
    is_causal: bool,
    window: int | None,
) -> Tensor:
    """What each token takes from its own text, (T, A, H).

    In tiles of the texts' size or by torch's FlashAttention where they can, and otherwise with padding, which then is
    in the attention alone.

    Args:
        segments: The texts.
        places: (T,), where the tokens stand in the flattened batch.
        query: (A, T, H), as `key` and `value`.
        key: See there.
        value: See there.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores.
        is_causal: Whether a token sees those behind it.
        window: How far it sees, see [`visible`].
    """
    tokens = [t.transpose(0, 1) for t in (query, key, value)]
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        tokens = [t.to(torch.get_autocast_dtype(kind)) for t in tokens]
    size = tokens[0].shape[-1]
    if segments.needs_starts_alone(tokens[0].dtype, size):
        if segments.longest <= SHORT and attends_short(query.device, size):
            from .short_texts import attend_short  # needs Triton

            texts = segments.starts, segments.longest
            how: Any = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, "window": window}
            return attend_short(tokens[0], tokens[1], tokens[2], *texts, **how)
        return _flash_attention(segments, tokens, dropout, scaling, is_causal, window)
    seen = visible(segments.is_real.shape[1], is_causal, window, query.device)
    return _padded_attention(segments, places, tokens, dropout, scaling, seen)


def _flash_attention(
    segments: Segments, tokens: list[Tensor], dropout: float, scaling: float, is_causal: bool, window: int | None
) -> Tensor:
    far = -1 if window is None else window - 1
    # The public `torch.nn.attention.varlen.varlen_attn` calls the same, without dropout.
    seen_TAH: Tensor = torch.ops.aten._flash_attention_forward(
        *tokens,
        segments.starts,
        segments.starts,
        segments.longest,
        segments.longest,
        dropout,
        is_causal,
        False,
        scale=scaling,
        window_size_left=far,
        window_size_right=0 if is_causal else far,
    )[0]
    return seen_TAH


def _padded_attention(
    segments: Segments, places: Tensor, tokens: list[Tensor], dropout: float, scaling: float, seen: Tensor | None
) -> Tensor:
    texts, length = segments.is_real.shape

    def padded(tokens_TAH: Tensor) -> Tensor:
        flat = tokens_TAH.new_zeros((texts * length, *tokens_TAH.shape[1:])).index_copy(0, places, tokens_TAH)
        padded_EALH: Tensor = flat.unflatten(0, (texts, length)).transpose(1, 2)
        return padded_EALH

    query_EALH, key_EALH, value_EALH = map(padded, tokens)
    mask = both(segments.is_real[:, None, None], seen)
    seen_EALH = F.scaled_dot_product_attention(
        query_EALH, key_EALH, value_EALH, attn_mask=mask, dropout_p=dropout, scale=scaling
    )
    return seen_EALH.transpose(1, 2).flatten(0, 1).index_select(0, places)


def _flash_size(device: torch.device) -> int:
    """Up to which size of a head torch's FlashAttention runs there, by its own conditions (`sdp_utils.cpp`).

    Not in ROCm's build, where others' kernels bear its name; and where larger heads have no backward pass, in training.
    """
    if (
        device.type != "cuda"
        or torch.version.hip is not None
        or not torch.backends.cuda.is_flash_attention_available()
        or not torch.backends.cuda.flash_sdp_enabled()
    ):
        return 0
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 0):
        return 0
    return 256 if capability in ((8, 0), (9, 0)) else 192


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def attends_short(device: torch.device, size: int) -> bool:
    """Whether [`attend_short`] runs there for heads of this size and computes what it should, tried once."""
    return size <= WIDEST and _attends_short(device, size)


@lru_cache
def _attends_short(device: torch.device, size: int) -> bool:
    try:
        from .short_texts import error_of_attention

        error = error_of_attention(device, size)
    except Exception as problem:  # whatever a compiler raises: it needs another one, for C, and Python's header files
        logger.info("Attention of short texts by FlashAttention: Triton, %s: %s", type(problem).__name__, problem)
        return False
    if error > SHORT_TOLERANCE:
        logger.warning(
            "Attention of short texts should be exact to %g, found %g off. It is by FlashAttention. Please report it",
            SHORT_TOLERANCE,
            error,
        )
        return False
    logger.info("Attention of texts of up to %d tokens in tiles of their size, exact to %.1g", SHORT, error)
    return True
