"""Kernels for a GPU, by Triton: attention within texts that lie in one tile each, and its gradients.

Letters of the shapes: E texts, T tokens of all texts, A attention heads, H size of a head.
"""

from typing import Any

import torch
from torch import Tensor

try:  # in this form, transformers does not ask for it when it opens a checkpoint's code
    import triton
    from triton import language as tl
except ImportError:
    raise

TILES = ((16, 1), (32, 2), (64, 4))
"""Tokens of a tile, and warps of its programs. Texts are in the smallest tile that has room for them."""


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def _weights(query, key, scaling, size, window, IS_CAUSAL: tl.constexpr, HAS_WINDOW: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """How much each token of a text takes from each, before any is dropped."""
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scaling
    row = tl.arange(0, TILE)[:, None]
    column = tl.arange(0, TILE)[None, :]
    seen = column < size
    if IS_CAUSAL:
        seen = seen & (column <= row)
    if HAS_WINDOW:
        seen = seen & (tl.abs(column - row) < window)
    seen = seen | (row == column)  # rows behind the text, which would be 0 / 0
    scores = tl.where(seen, scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, 1)[:, None])
    return powers / tl.sum(powers, 1)[:, None]


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def _factors(seed, dropout, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """What the weights are multiplied by, 0 or the scale; each text and head has a stream of its own."""
    stream = tl.load(seed) + tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    place = tl.arange(0, TILE)[:, None] * (TILE // 4) + tl.arange(0, TILE // 4)[None, :]
    first, second, third, fourth = tl.rand4x(stream, place)  # one draw of Philox gives four numbers
    halves = tl.join(first >= dropout, second >= dropout), tl.join(third >= dropout, fourth >= dropout)
    is_kept = tl.reshape(tl.join(halves[0], halves[1]), (TILE, TILE))
    return tl.where(is_kept, 1 / (1 - dropout), 0.0)


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def _places(start, size, stride, H: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where the values of a text's tile lie, for the head of the program, and which of them there are."""
    row = tl.arange(0, TILE)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    return (start + row).to(tl.int64) * stride + tl.program_id(1) * H + column, (row < size) & (column < H)


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def attend_tiles(  # type: ignore[no-untyped-def]
    query,
    key,
    value,
    output,
    starts,
    seed,
    scaling,
    dropout,
    window,
    stride,
    H: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    DROPS: tl.constexpr,
    ABOVE: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """What each token of one text and head takes, if the text belongs into this tile: (T, A, H) `output`."""
    start = tl.load(starts + tl.program_id(0))
    size = tl.load(starts + tl.program_id(0) + 1) - start
    if (size <= ABOVE) | (size > TILE):
        return
    at, is_real = _places(start, size, stride, H, TILE, WIDTH)
    queries = tl.load(query + at, mask=is_real, other=0.0)
    keys = tl.load(key + at, mask=is_real, other=0.0)
    values = tl.load(value + at, mask=is_real, other=0.0)
    weights = _weights(queries, keys, scaling, size, window, IS_CAUSAL, HAS_WINDOW, TILE)
    if DROPS:
        weights *= _factors(seed, dropout, TILE)
    seen = tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    tl.store(output + at, seen.to(values.dtype), mask=is_real)


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def attend_tiles_backward(  # type: ignore[no-untyped-def]
    query,
    key,
    value,
    gradient,
    query_gradient,
    key_gradient,
    value_gradient,
    starts,
    seed,
    scaling,
    dropout,
    window,
    stride,
    H: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    DROPS: tl.constexpr,
    ABOVE: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """The gradients, of a `gradient` for what [`attend_tiles`] gave, with the weights computed and dropped again."""
    start = tl.load(starts + tl.program_id(0))
    size = tl.load(starts + tl.program_id(0) + 1) - start
    if (size <= ABOVE) | (size > TILE):
        return
    at, is_real = _places(start, size, stride, H, TILE, WIDTH)
    queries = tl.load(query + at, mask=is_real, other=0.0)
    keys = tl.load(key + at, mask=is_real, other=0.0)
    values = tl.load(value + at, mask=is_real, other=0.0)
    gradients = tl.load(gradient + at, mask=is_real, other=0.0)
    weights = _weights(queries, keys, scaling, size, window, IS_CAUSAL, HAS_WINDOW, TILE)
    weight_gradients = tl.dot(gradients, tl.trans(values), input_precision="ieee")
    kept = weights
    if DROPS:
        factors = _factors(seed, dropout, TILE)
        kept = weights * factors
        weight_gradients *= factors
    of_values = tl.dot(tl.trans(kept.to(values.dtype)), gradients, input_precision="ieee")
    tl.store(value_gradient + at, of_values.to(values.dtype), mask=is_real)
    mean = tl.sum(weights * weight_gradients, 1)[:, None]
    score_gradients = (weights * (weight_gradients - mean) * scaling).to(values.dtype)
    of_queries = tl.dot(score_gradients, keys, input_precision="ieee")
    tl.store(query_gradient + at, of_queries.to(values.dtype), mask=is_real)
    of_keys = tl.dot(tl.trans(score_gradients), queries, input_precision="ieee")
    tl.store(key_gradient + at, of_keys.to(values.dtype), mask=is_real)


def launch(
    kernel: Any,
    tensors: tuple[Tensor, ...],
    starts: Tensor,
    seed: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    is_causal: bool,
    window: int,
) -> None:
    """Run the kernel once per size of a tile, each for the texts that belong there."""
    _, heads, size = tensors[0].shape
    assert all(tensor.is_contiguous() and tensor.shape == tensors[0].shape for tensor in tensors)
    above = 0
    with torch.cuda.device_of(tensors[0]):  # Triton takes the current device, whatever that of the tensors is
        for tile, warps in TILES:
            kernel[(len(starts) - 1, heads)](
                *tensors,
                starts,
                seed,
                scaling,
                dropout,
                window,
                heads * size,
                H=size,
                IS_CAUSAL=is_causal,
                HAS_WINDOW=window > 0,
                DROPS=dropout > 0,
                ABOVE=above,
                TILE=tile,
                WIDTH=max(16, triton.next_power_of_2(size)),
                num_warps=warps,
            )
            if longest <= tile:
                break
            above = tile
