"""Batches without padding: which tokens a pass reads, and between which of them there is attention.

Letters of the shapes: B texts, L tokens (padding included), T tokens without padding.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PACKED_ATTENTION = "packed"
"""Name of the attention implementation, Hugging Face's `attn_implementation`, of models whose batches are packed."""

PACKABLE = frozenset(
    {
        *("albert", "bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie", "eurobert", "gte"),
        *("jina_embeddings_v3", "modernbert", "nomic_bert", "roberta", "xlm-roberta", "xlm-roberta-xl"),
        *("roberta-prelayernorm", "xmod", "gemma3_text", "llama", "mistral", "modernbert-decoder", "qwen2", "qwen3"),
    }
)
"""The `model_type`s whose packed and padded results are equal, which the tests hold for each."""

POSITIONS_BY_PADDING = frozenset(
    {"camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)
"""Those that number the tokens from the padding token's id on, leaving padding out."""


BLOCK_COST = 6
"""Padding tokens that a pass over one block more is worth: measured on two CPUs, where 0 and 12 are slower."""


class Block(NamedTuple):
    """Neighbouring texts of similar length, padded to the longest.

    Args:
        start: The place of its first token among the T.
        texts: How many there are, N.
        length: Of the longest, in tokens.
        mask: (N, 1, length), where real tokens stand; `None` where all are.
    """

    start: int
    texts: int
    length: int
    mask: Tensor | None


class Packing(NamedTuple):
    """The tokens of a batch in one row, in blocks of texts of similar length: hardly any padding.

    Args:
        places: (T,) int64, where each token stands in the flattened batch (B * L,).
        positions: (T,) int64, what the backbone is to number each token.
        blocks: The texts, the shortest first; there is attention within a text only.
    """

    places: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]

    def pack(self, values_BL: Tensor) -> Tensor:
        """The values of the tokens, (1, T)."""
        return values_BL.flatten()[self.places][None]

    def unpack(self, values_TD: Tensor, shape: torch.Size) -> Tensor:
        """The values of the tokens in their places, zeros between them: (T, D) to (B, L, D) for the `shape` (B, L)."""
        size = values_TD.shape[-1]
        flat = values_TD.new_zeros((shape.numel(), size)).index_copy(0, self.places, values_TD)
        return flat.view(*shape, size)


def packing_of(mask_BL: Tensor, input_ids: Tensor, model_type: str, pad_token_id: int | None) -> Packing | None:
    """The packing of a batch; `None` where padding stands elsewhere than on the right, or there is no token.

    Args:
        mask_BL: The attention mask.
        input_ids: (B, L).
        model_type: Of the backbone: decides how its tokens are numbered.
        pad_token_id: Of the backbone.
    """
    is_real = mask_BL.bool()
    if bool((is_real[:, 1:] & ~is_real[:, :-1]).any()) or not bool(is_real.any()):
        return None
    lengths, rows = torch.sort(is_real.sum(dim=1), stable=True)
    size = is_real.shape[1]
    places, blocks, start, first = [], [], 0, int((lengths == 0).sum())
    for texts in _cut(lengths[first:].numpy(force=True)):
        ours, length = rows[first : first + texts], int(lengths[first + texts - 1])
        mask = None if int(lengths[first]) == length else is_real[ours, None, :length]
        blocks.append(Block(start, texts, length, mask))
        places.append((ours[:, None] * size + torch.arange(length, device=rows.device)).flatten())
        start, first = start + texts * length, first + texts
    where = torch.cat(places)
    if model_type in POSITIONS_BY_PADDING:
        is_word = input_ids.ne(pad_token_id or 0)
        positions = (is_word.cumsum(dim=1) * is_word + (pad_token_id or 0)).flatten()[where]
    else:
        positions = where % size
    return Packing(where, positions, tuple(blocks))


def _cut(lengths_B: NDArray[np.int64]) -> list[int]:
    """Texts of each block, of texts with ascending lengths, that make the fewest tokens and blocks, by `BLOCK_COST`."""
    values, counts = np.unique(lengths_B, return_counts=True)
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
