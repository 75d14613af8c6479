"""From token ids to embeddings: the backbone's pass over a batch, and pooling.

Letters of the shapes: B texts, S second texts, E = B + S, L tokens (padding included), D hidden size.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .packing import LAYOUTS, PACKED_ATTENTION, Packing, packing_of
from .pairs import stack_texts
from .pooling import pool


class Encoded(NamedTuple):
    """What the encoder makes of a batch.

    Args:
        embedding: (E, D), the sentence embeddings of the first and, below them, of the second texts.
        hidden: (B, L, D), the token embeddings of the first texts; `None` where embeddings were given.
        hidden_states: The backbone's, each (E, L, D), when asked for.
        attentions: The backbone's, each (E, heads, L, L), when asked for.
    """

    embedding: Tensor
    hidden: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


def encode_texts(
    backbone: nn.Module,
    config: Any,
    inputs: Mapping[str, Tensor | None],
    pairs: dict[str, Any],
    lengths: NDArray[np.int64] | None = None,
    **outputs: Any,
) -> Encoded:
    """The embeddings of first and second texts, in one pass of the backbone.

    Args:
        backbone: The encoder.
        config: The model's, a [`MultiTaskConfig`].
        inputs: The backbone's arguments for the first texts, `None` where not given.
        pairs: `input_ids` (S, L) and `attention_mask` of the second texts, `None` where there are none.
        lengths: (E,), tokens of each text, as [`packing_of`] takes them.
        **outputs: `output_hidden_states` and `output_attentions`, `None` for the backbone's own choice.

    Raises:
        ValueError: There are second texts, and of the first ones no token ids, or positions.
    """
    present = {name: value for name, value in inputs.items() if value is not None}
    length = None
    if pairs["input_ids"] is not None:
        if "input_ids" not in present or "position_ids" in present:
            raise ValueError(
                "pair_input_ids need input_ids beside them and no position_ids, found otherwise. Pass token ids."
            )
        length = present["input_ids"].shape[1]
        for texts in (present, pairs):
            if texts.get("attention_mask") is None:
                texts["attention_mask"] = torch.ones_like(texts["input_ids"])
        present = stack_texts(present, pairs, config.text_config.pad_token_id or 0)
    options = {name: value for name, value in outputs.items() if value is not None}
    if hasattr(config.text_config, "use_cache"):
        options["use_cache"] = False  # a decoder would build a key/value cache that nothing reads
    packing = _packing(config.text_config, present, lengths, outputs)
    if packing is None:
        encoded = backbone(**present, **options, return_dict=True)
        hidden_ELD = encoded.last_hidden_state
    else:
        tokens = {name: packing.pack(present[name]) for name in present.keys() - {"attention_mask"}}
        # The attention reads the packing alone; of any other mask than one of four axes transformers makes T x T.
        unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=packing.positions.device)
        where = {"position_ids": packing.positions[None], "packing": packing, "attention_mask": unread}
        encoded = backbone(**tokens, **where, **options, return_dict=True)
        hidden_ELD = packing.unpack(encoded.last_hidden_state[0])
    mask_EL = present.get("attention_mask")
    if mask_EL is None:
        mask_EL = torch.ones(hidden_ELD.shape[:2], device=hidden_ELD.device)
    num_texts = hidden_ELD.shape[0] - (0 if pairs["input_ids"] is None else pairs["input_ids"].shape[0])
    return Encoded(
        pool(hidden_ELD, mask_EL, config.pooling),
        hidden_ELD[:num_texts, :length],
        encoded.get("hidden_states"),
        encoded.get("attentions"),
    )


def _packing(
    text_config: Any,
    present: Mapping[str, Tensor],
    lengths: NDArray[np.int64] | None,
    outputs: Mapping[str, Any],
) -> Packing | None:
    """How the batch is packed; `None` where it is not: by another attention, or where what is asked for is padded."""
    mask_EL = present.get("attention_mask")
    if (
        text_config._attn_implementation != PACKED_ATTENTION
        or mask_EL is None
        or mask_EL.ndim != 2
        or not {"input_ids", "attention_mask", "token_type_ids"} >= present.keys()
        or any(asked if asked is not None else getattr(text_config, name) for name, asked in outputs.items())
        or mask_EL.device.type not in LAYOUTS
        or torch.compiler.is_compiling()
    ):
        return None
    return packing_of(mask_EL, present["input_ids"], text_config.model_type, text_config.pad_token_id, lengths)
