"""Random texts of many shapes, on which a graph must agree with its model.

Letters of the shapes: B texts, L tokens.
"""

from typing import Any

import torch
from torch import Tensor

from ..modeling.backbone import readable_tokens
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.reading import UNLIMITED
from .graph import graph_inputs

LONGEST = 2_048
"""Tokens of the longest text that is tried; attention over more takes much memory."""

LONGEST_OF_SEVERAL = 256
"""Tokens of the longest text that is tried beside others."""


def random_batches(model: MultiTaskModel) -> list[dict[str, Tensor]]:
    """Batches of what the graph reads, (B, L) int64 each; always the same ones.

    One text and several, of one token, of few, and of as many as the model reads (up to `LONGEST`); padded by much, by
    little and not at all; and a text of nothing but padding, which an empty text can be.
    """
    longest = min(_limit(model), LONGEST)
    several = min(longest, LONGEST_OF_SEVERAL)
    shapes = [(1,), (1, 1, 1), (2, 1), (5,), (9, 6, 4), (8, 0), (several, several // 2, 3), (several,) * 3, (longest,)]
    generator = torch.Generator().manual_seed(0)
    return [_batch(model, torch.tensor(shape).clamp(max=longest), generator) for shape in shapes]


def _batch(model: MultiTaskModel, lengths_B: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    config: Any = model.config.text_config
    pad = config.pad_token_id or 0
    positions_L = torch.arange(int(lengths_B.max()))
    mask_BL = positions_L < lengths_B[:, None]
    ids_BL = torch.randint(config.vocab_size, mask_BL.shape, generator=generator)
    ids_BL[ids_BL == pad] = (pad + 1) % config.vocab_size  # some backbones take such a token for padding
    segments_BL = mask_BL & (positions_L >= lengths_B[:, None] // 2) & (getattr(config, "type_vocab_size", 0) > 1)
    tensors = {"input_ids": ids_BL.masked_fill(~mask_BL, pad), "attention_mask": mask_BL, "token_type_ids": segments_BL}
    return {name: tensors[name].long() for name in graph_inputs(model)}


def _limit(model: MultiTaskModel) -> int:
    """Tokens of a text that the model reads: as the tokenizer says, or else as many as it has positions for."""
    limit = int(model.tokenizer.model_max_length)
    if limit < UNLIMITED:
        return limit
    positions = readable_tokens(model.config.text_config) or LONGEST
    return positions - (model.config.text_config.pad_token_id or 0) - 1  # RoBERTa numbers them from behind padding
