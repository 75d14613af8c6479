"""Attention of a CPU within short texts, block by block: two products and a softmax, with gradients of its own.

It is in float32 whatever the type of the tokens is: of so small matrices the products are no slower in it than in
bfloat16 or by oneDNN, and softmax and dropout are faster. What autograd would remember of each block, nodes and views,
would take about as long as the products.

Letters of the shapes: N texts of a block, L tokens of each, T tokens of all texts, A attention heads, H size of a head,
M = N A.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .matmul import default_matmul


class BlockAttention(torch.autograd.Function):
    r"""What each token takes from its own text, (T, A, H); differentiable once.

    $$ O = (F \odot P) V, \qquad P = \operatorname{softmax}(c\,Q K^\top + B), $$

    and with $\partial P = F \odot (\partial O\, V^\top)$ and $S = c\,P \odot (\partial P - (P \odot \partial P) 1)$

    $$ \partial V = (F \odot P)^\top \partial O, \qquad \partial Q = S K, \qquad \partial K = S^\top Q. $$
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        sizes: Sequence[tuple[int, int]],
        biases: Sequence[Tensor],
        factors: Sequence[Tensor] | None,
        scaling: float,
    ) -> Tensor:
        """The values.

        Args:
            ctx: What the gradients need.
            query: (T, A, H), as `key` and `value`: block behind block, text behind text.
            key: See there.
            value: See there.
            sizes: Of each block, N and L.
            biases: Of each block, broadcast to (M, L, L), what is added to the scores: -inf where a token is not seen.
            factors: Of each block, (M, L, L), what dropout multiplies the weights by; `None` without dropout.
            scaling: Factor of the scores, c.
        """
        ctx.sizes, ctx.scaling = sizes, scaling
        seen, kept = query.new_empty(query.shape), []
        with _computing():
            for block, ((texts, length), tokens) in enumerate(_split(sizes, query, key, value, seen)):
                query_MLH, key_MLH, value_MLH = (_heads_first(part, texts, length) for part in tokens[:3])
                scores = torch.baddbmm(biases[block], query_MLH, key_MLH.transpose(1, 2), alpha=scaling)
                weights = scores.softmax(dim=-1)
                dropped, dropout = weights, []
                if factors is not None:
                    dropped = weights * factors[block]
                    dropout = [dropped, factors[block]]
                _put(tokens[3], dropped @ value_MLH, texts, length)
                kept += [query_MLH, key_MLH, value_MLH, weights, *dropout]
        ctx.save_for_backward(*kept)
        return seen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Those of query, key and value.

        Raises:
            RuntimeError: They are to have gradients themselves (`create_graph=True`). torch's `once_differentiable`
                would raise only where that graph is walked to its end, and otherwise leave them out.
        """
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Gradients of packed attention must be taken without create_graph=True, found it. For second "
                "derivatives call model.set_attn_implementation('eager')."
            )
        (gradient,) = gradients
        found = [gradient.new_empty(gradient.shape) for _ in range(3)]
        kept = ctx.saved_tensors  # to be read once: gradient checkpointing computes them at that moment
        each = len(kept) // len(ctx.sizes)
        with _computing():
            for block, ((texts, length), tokens) in enumerate(_split(ctx.sizes, gradient, *found)):
                query_MLH, key_MLH, value_MLH, weights, *dropout = kept[block * each : (block + 1) * each]
                dropped, factors = dropout or (weights, None)
                gradient_MLH = _heads_first(tokens[0], texts, length)
                of_weights = gradient_MLH @ value_MLH.transpose(1, 2)
                if factors is not None:
                    of_weights *= factors
                of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                of_scores *= ctx.scaling
                _put(tokens[1], of_scores @ key_MLH, texts, length)
                _put(tokens[2], of_scores.transpose(1, 2) @ query_MLH, texts, length)
                _put(tokens[3], dropped.transpose(1, 2) @ gradient_MLH, texts, length)
        return (*found, *[None] * 4)


@contextmanager
def _computing() -> Iterator[None]:
    with torch.autocast("cpu", enabled=False), default_matmul():
        yield


def _split(sizes: Sequence[tuple[int, int]], *tensors: Tensor) -> Iterator[tuple[tuple[int, int], tuple[Tensor, ...]]]:
    """Of each block its size, and its tokens in each of the tensors."""
    parts = [tensor.split([texts * length for texts, length in sizes]) for tensor in tensors]
    return zip(sizes, zip(*parts, strict=True), strict=True)


def _heads_first(tokens: Tensor, texts: int, length: int) -> Tensor:
    """A copy of (N L, A, H) as (M, L, H), at least in float32."""
    by_head = tokens.view(texts, length, *tokens.shape[1:]).transpose(1, 2)
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    return by_head.to(dtype, memory_format=torch.contiguous_format, copy=True).view(-1, length, tokens.shape[2])


def _put(place: Tensor, values_MLH: Tensor, texts: int, length: int) -> None:
    """Write (M, L, H) to its place, (N L, A, H)."""
    by_head = place.view(texts, length, *place.shape[1:]).transpose(1, 2)
    by_head.copy_(values_MLH.view(by_head.shape))
