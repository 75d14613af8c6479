"""Batches without padding: which tokens a pass reads, and to which texts they belong.

Letters of the shapes: E texts, L tokens (padding included), T tokens without padding.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .blocks import Blocks, attend_blocks, in_blocks
from .segments import Segments, attend_segments, in_segments, on_device

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

Arrange = Callable[[NDArray[np.int64], int, torch.device], tuple[NDArray[np.int64], Any]]


class Layout(NamedTuple):
    """How the tokens of a packed batch lie.

    Args:
        arrange: From the lengths of texts, the padded length and the device to the tokens' places and their texts.
        attend: The attention within these texts.
    """

    arrange: Arrange
    attend: Callable[..., Tensor]


LAYOUTS = {"cpu": Layout(in_blocks, attend_blocks), "cuda": Layout(in_segments, attend_segments)}
"""By torch's type of device, the layout that is faster there."""


class Packing(NamedTuple):
    """The tokens of a batch in one row, with hardly any padding or none.

    Args:
        places: (T,) int64, where each token stands in the flattened batch (E * L,).
        positions: (T,) int64, what the backbone is to number each token.
        shape: (E, L).
        texts: Where each text lies among the T; there is attention within a text only.
        attend: The attention within the texts. It travels with them: whatever copy of this code was imported last, as
            that of a checkpoint, is what transformers knows under the name of this attention.
    """

    places: Tensor
    positions: Tensor
    shape: tuple[int, int]
    texts: Blocks | Segments
    attend: Callable[..., Tensor]

    def pack(self, values_EL: Tensor) -> Tensor:
        """The values of the tokens, (1, T)."""
        return values_EL.flatten()[self.places][None]

    def unpack(self, values_TD: Tensor) -> Tensor:
        """The values of the tokens in their places, zeros between them, (E, L, D)."""
        size = values_TD.shape[-1]
        flat = values_TD.new_zeros((self.shape[0] * self.shape[1], size)).index_copy(0, self.places, values_TD)
        return flat.view(*self.shape, size)


def lengths_of(mask_EL: Tensor) -> NDArray[np.int64] | None:
    """Tokens of each text, (E,); `None` where padding stands elsewhere than on the right."""
    is_real = mask_EL.bool().numpy(force=True)
    if (is_real[:, 1:] & ~is_real[:, :-1]).any():
        return None
    lengths: NDArray[np.int64] = is_real.sum(axis=1)
    return lengths


def packing_of(
    mask_EL: Tensor,
    input_ids: Tensor,
    model_type: str,
    pad_token_id: int | None,
    lengths: NDArray[np.int64] | None = None,
) -> Packing | None:
    """The packing of a batch; `None` where padding stands elsewhere than on the right, or there is no token.

    Nor is there one of a single text without padding on a CPU without gradients, which is answered sooner as it is.
    (Whether the batch of a GPU has padding, transformers would have to ask the device.)

    Args:
        mask_EL: The attention mask.
        input_ids: (E, L).
        model_type: Of the backbone: decides how its tokens are numbered.
        pad_token_id: Of the backbone.
        lengths: (E,), tokens of each text where it is known that padding stands on the right. Without them they are
            read from the mask, for which the host waits until the device has done all it was told before.

    Raises:
        ValueError: The lengths cannot be those of the batch.
    """
    if lengths is None:
        lengths = lengths_of(mask_EL)
    elif len(lengths) != len(mask_EL) or lengths.max(initial=0) > mask_EL.shape[1]:
        raise ValueError(
            f"text_lengths must be those of {len(mask_EL)} texts of at most {mask_EL.shape[1]} tokens, found "
            f"{lengths.tolist()}. Leave them out."
        )
    size, device = mask_EL.shape[1], mask_EL.device
    if lengths is None or not lengths.any():
        return None
    if device.type == "cpu" and not torch.is_grad_enabled() and lengths.tolist() == [size]:
        return None
    arrange, attend = LAYOUTS[device.type]
    places, texts = arrange(lengths, size, device)
    where = on_device(places, device)
    if model_type in POSITIONS_BY_PADDING:
        is_word = input_ids.ne(pad_token_id or 0)
        positions = (is_word.cumsum(dim=1) * is_word + (pad_token_id or 0)).flatten()[where]
    else:
        positions = where % size
    return Packing(where, positions, (len(lengths), size), texts, attend)
