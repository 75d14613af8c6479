"""Packed batches as a CPU likes them: in blocks of texts of similar length, each padded to its longest.

Letters of the shapes: E texts, N texts of a block, L tokens of each, T tokens of all texts, A attention heads, H size
of a head.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .block_attention import BlockAttention
from .dropout import FEWEST, drop_factors, is_quick_on
from .visibility import both, visible

PLAIN_LENGTH = 128
"""Tokens of a text up to which [`BlockAttention`] is the faster attention."""

BLOCK_COST = 6
"""Padding tokens that a pass over one block more is worth: measured on two CPUs, where 0 and 12 are slower."""


class Block(NamedTuple):
    """Neighbouring texts of similar length, padded to the longest.

    Args:
        texts: How many there are, N.
        length: Of the longest, in tokens.
        real: (N, 1, L), where real tokens stand; `None` where all are.
        biases: Those that [`bias`] has made, by causality, window, heads and type.
    """

    texts: int
    length: int
    real: Tensor | None
    biases: dict[Any, Tensor]

    def mask(self, is_causal: bool, window: int | None, device: torch.device) -> Tensor | None:
        """Which tokens are seen, (L, L), (N, 1, L) or (N, L, L), at least one by each; `None` for all."""
        return both(self.real, visible(self.length, is_causal, window, device))

    def bias(self, is_causal: bool, window: int | None, heads: int, like: Tensor) -> Tensor:
        """The same as what is added to scores, broadcast to (N A, L, L), and made once for all layers of a pass."""
        key = is_causal, window, heads, like.dtype
        if key not in self.biases:
            mask = self.mask(is_causal, window, like.device)
            seen = torch.ones((1, 1), dtype=torch.bool, device=like.device) if mask is None else mask
            bias = like.new_zeros(seen.shape).masked_fill_(~seen, float("-inf"))
            self.biases[key] = bias[None] if bias.dim() == 2 else bias.repeat_interleave(heads, dim=0)
        return self.biases[key]


Blocks = tuple[Block, ...]
"""The texts of a batch, the shortest first."""


def in_blocks(lengths_E: NDArray[np.int64], size: int, device: torch.device) -> tuple[NDArray[np.int64], Blocks]:
    """Where the tokens stand in the flattened batch, (T,), and their texts in blocks.

    Args:
        lengths_E: Tokens of each text, which stand on the left.
        size: Tokens of a row of the batch, padding included.
        device: Of the batch.
    """
    rows_E = np.argsort(lengths_E, kind="stable")
    sorted_E = lengths_E[rows_E]
    places, blocks, first = [], [], int((sorted_E == 0).sum())
    for texts in cut(sorted_E[first:]):
        rows, length = rows_E[first : first + texts], int(sorted_E[first + texts - 1])
        places_L = np.arange(length)
        real = None
        if sorted_E[first] < length:
            real = torch.from_numpy(places_L < lengths_E[rows, None])[:, None].to(device)
        blocks.append(Block(texts, length, real, {}))
        places.append((rows[:, None] * size + places_L).ravel())
        first += texts
    return np.concatenate(places), tuple(blocks)


def attend_blocks(
    blocks: Blocks,
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
    """What each token takes from its own text, (T, A, H), block by block.

    Args:
        blocks: The texts.
        places: Not read: the tokens lie as the blocks do.
        query: (A, T, H), as `key` and `value`.
        key: See there.
        value: See there.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores.
        is_causal: Whether a token sees those behind it.
        window: How far it sees, see [`visible`].
    """
    del places
    tokens = [t.transpose(0, 1) for t in (query, key, value)]
    seen, first = [], 0
    short = [] if torch.compiler.is_compiling() else [block for block in blocks if block.length <= PLAIN_LENGTH]
    if short:
        sizes = [(block.texts, block.length) for block in short]
        first = sum(map(prod, sizes))
        like = torch.empty((), dtype=torch.promote_types(query.dtype, torch.float32), device=query.device)
        biases = [block.bias(is_causal, window, len(query), like) for block in short]
        factors = _drop_factors(sizes, len(query), like.dtype, dropout) if dropout else None
        seen.append(BlockAttention.apply(*(t[:first] for t in tokens), sizes, biases, factors, scaling))
    for block in blocks[len(short) :]:
        size = block.texts, block.length
        last = first + prod(size)
        query_NALH, key_NALH, value_NALH = (t[first:last].unflatten(0, size).transpose(1, 2) for t in tokens)
        mask = block.mask(is_causal, window, query.device)
        seen_NALH = F.scaled_dot_product_attention(
            query_NALH,
            key_NALH,
            value_NALH,
            attn_mask=mask if mask is None or mask.dim() == 2 else mask[:, None],
            dropout_p=dropout,
            scale=scaling,
        )
        seen.append(seen_NALH.transpose(1, 2).flatten(0, 1))
        first = last
    return seen[0] if len(seen) == 1 else torch.cat(seen)


def _drop_factors(sizes: list[tuple[int, int]], heads: int, dtype: torch.dtype, dropout: float) -> list[Tensor]:
    """Of each block of texts, what its weights are multiplied by."""
    shapes = [(texts * heads, length, length) for texts, length in sizes]
    if is_quick_on(torch.device("cpu")) and sum(map(prod, shapes)) >= FEWEST:
        return list(drop_factors(shapes, dropout, dtype))
    return [F.dropout(torch.ones(shape, dtype=dtype), dropout) for shape in shapes]


def cut(lengths_N: NDArray[np.int64]) -> list[int]:
    """Texts of each block, of texts with ascending lengths, that make the fewest tokens and blocks, by `BLOCK_COST`."""
    values, counts = np.unique(lengths_N, return_counts=True)
    ends = np.concatenate([[0], counts.cumsum()])
    costs, begins = np.zeros(len(ends)), [0] * len(ends)
    for end in range(1, len(ends)):
        options = costs[:end] + values[end - 1] * (ends[end] - ends[:end]) + BLOCK_COST
        begins[end] = int(options.argmin())
        costs[end] = options[begins[end]]
    sizes, end = [], len(ends) - 1
    while end:
        sizes.append(int(ends[end] - ends[begins[end]]))
        end = begins[end]
    return sizes[::-1]
