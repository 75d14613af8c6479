"""Attention of a GPU within short texts, each of which lies in one tile and is read and written once.

FlashAttention's tiles have 64 to 128 tokens, most of which are nobody's where a text has 20. A text that lies in one
tile also needs no sums over several: its gradients come from one program, and in the same bits each time.

Letters of the shapes: E texts, T tokens of all texts, A attention heads, H size of a head.
"""

import re
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

NAMESPACE = re.sub(r"\W", "_", __name__)
"""Of the operators: a checkpoint's copy of this code has its own."""


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
def _attend(  # type: ignore[no-untyped-def]
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
    start = tl.load(starts + tl.program_id(0))
    size = tl.load(starts + tl.program_id(0) + 1) - start
    if (size <= ABOVE) | (size > TILE):
        return
    row = tl.arange(0, TILE)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    is_real = (row < size) & (column < H)
    at = (start + row).to(tl.int64) * stride + tl.program_id(1) * H + column
    queries = tl.load(query + at, mask=is_real, other=0.0)
    keys = tl.load(key + at, mask=is_real, other=0.0)
    values = tl.load(value + at, mask=is_real, other=0.0)
    weights = _weights(queries, keys, scaling, size, window, IS_CAUSAL, HAS_WINDOW, TILE)
    if DROPS:
        weights *= _factors(seed, dropout, TILE)
    seen = tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    tl.store(output + at, seen.to(values.dtype), mask=is_real)


@triton.jit  # type: ignore[misc, untyped-decorator, unused-ignore]
def _attend_backward(  # type: ignore[no-untyped-def]
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
    start = tl.load(starts + tl.program_id(0))
    size = tl.load(starts + tl.program_id(0) + 1) - start
    if (size <= ABOVE) | (size > TILE):
        return
    row = tl.arange(0, TILE)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    is_real = (row < size) & (column < H)
    at = (start + row).to(tl.int64) * stride + tl.program_id(1) * H + column
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


@torch.library.custom_op(f"{NAMESPACE}::attend", mutates_args=())
def _operator(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    seed: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    is_causal: bool,
    window: int,
) -> Tensor:
    output = torch.empty_like(query)
    _launch(_attend, (query, key, value, output), starts, seed, longest, dropout, scaling, is_causal, window)
    return output


@torch.library.custom_op(f"{NAMESPACE}::attend_backward", mutates_args=())
def _operator_backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gradient: Tensor,
    starts: Tensor,
    seed: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    is_causal: bool,
    window: int,
) -> tuple[Tensor, Tensor, Tensor]:
    gradients = torch.empty_like(query), torch.empty_like(query), torch.empty_like(query)
    tensors = (query, key, value, gradient, *gradients)
    _launch(_attend_backward, tensors, starts, seed, longest, dropout, scaling, is_causal, window)
    return gradients


def _launch(
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


@_operator.register_fake
def _(query: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(query)


@_operator_backward.register_fake
def _(query: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(query), torch.empty_like(query)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch's signature
    tensors, ctx.how = inputs[:5], inputs[5:]
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    query, key, value, starts, seed = ctx.saved_tensors
    gradients = _operator_backward(query, key, value, gradient.contiguous(), starts, seed, *ctx.how)
    return (*gradients, *[None] * 7)


_operator.register_autograd(_backward, setup_context=_keep)


def attend_short(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    longest: int,
    *,
    dropout: float,
    scaling: float,
    is_causal: bool,
    window: int | None,
) -> Tensor:
    """What each token takes from its own text, (T, A, H).

    Args:
        query: (T, A, H), as `key` and `value`, all of one floating type.
        key: See there.
        value: See there.
        starts: (E + 1,) int32, the place of each text's first token among the T, and T.
        longest: At least the tokens of the longest text, at most the largest of `TILES`.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores.
        is_causal: Whether a token sees those behind it.
        window: How far it sees, see [`visible`].
    """
    tensors = [tensor.contiguous() for tensor in (query, key, value)]
    # Drawn here, where compiled code, a CUDA graph and gradient checkpointing all know of it.
    device = query.device
    seed = torch.randint(2**62, (1,), device=device) if dropout else torch.zeros(1, dtype=torch.int64, device=device)
    seen_TAH: Tensor = _operator(*tensors, starts, seed, longest, dropout, scaling, is_causal, window or 0)
    return seen_TAH


def error_of_attention(device: torch.device) -> float:
    """The relative difference of output and gradients in bfloat16 from those that torch computes, the largest of four.

    Args:
        device: Of a kind that Triton compiles for.
    """
    generator = torch.Generator().manual_seed(0)
    sizes, scaling = (5, 20, 50), 0.2
    starts = torch.tensor([0, *sizes]).cumsum(0)
    *tokens, gradient = (torch.randn(int(starts[-1]), 2, 32, generator=generator).bfloat16() for _ in range(4))
    how: Any = {"dropout": 0.0, "scaling": scaling, "is_causal": False, "window": None}
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        query, key, value = given = [t.to(device).requires_grad_() for t in tokens]
        found = attend_short(query, key, value, starts.int().to(device), TILES[-1][0], **how)
        gradients = torch.autograd.grad(found, given, gradient.to(device))
        exact = [t.float().requires_grad_() for t in tokens]
        texts = zip(*(t.transpose(0, 1).split(sizes, 1) for t in exact), strict=True)
        seen = [(query @ key.mT * scaling).softmax(-1) @ value for query, key, value in texts]
        expected = torch.cat(seen, 1).transpose(0, 1)
        exact_gradients = torch.autograd.grad(expected, exact, gradient.float())
    pairs = zip((found, *gradients), (expected, *exact_gradients), strict=True)
    return max(float((a.detach().float().cpu() - b.detach()).norm() / b.detach().norm()) for a, b in pairs)
