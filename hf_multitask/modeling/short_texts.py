"""Attention of a GPU within short texts, each of which lies in one tile and is read and written once.

FlashAttention's tiles have 64 to 128 tokens, most of which are nobody's where a text has 20. A text that lies in one
tile also needs no sums over several: its gradients come from one program, and in the same bits each time.

Letters of the shapes: E texts, T tokens of all texts, A attention heads, H size of a head.
"""

import re
from typing import Any

import torch
from torch import Tensor

from .short_kernels import TILES, attend_tiles, attend_tiles_backward, launch

NAMESPACE = re.sub(r"\W", "_", __name__)
"""Of the operators: a checkpoint's copy of this code has its own."""


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
    launch(attend_tiles, (query, key, value, output), starts, seed, longest, dropout, scaling, is_causal, window)
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
    launch(attend_tiles_backward, tensors, starts, seed, longest, dropout, scaling, is_causal, window)
    return gradients


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


def error_of_attention(device: torch.device, size: int) -> float:
    """The relative difference of output and gradients in bfloat16 from those that torch computes, the largest of four.

    Args:
        device: Of a kind that Triton compiles for.
        size: Of a head.
    """
    generator = torch.Generator().manual_seed(0)
    sizes, scaling = (5, 20, 50), size**-0.5
    starts = torch.tensor([0, *sizes]).cumsum(0)
    *tokens, gradient = (torch.randn(int(starts[-1]), 2, size, generator=generator).bfloat16() for _ in range(4))
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
