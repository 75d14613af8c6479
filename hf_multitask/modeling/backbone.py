"""The encoder: which class builds it, and what of it nothing here reads."""

from typing import Any

from torch import nn
from transformers import AutoModel, AutoModelForTextEncoding, PretrainedConfig

UNUSED_MODULES = ("pooler", "contact_head")
"""Names of backbone modules that nothing here reads: their output is not the last hidden state."""

POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")
"""Names of backbone modules with a row for each place in a text."""

NO_AUTOCAST = ("deberta", "xmod")
"""`model_type`s of which transformers' code fails within an autocast of float32 weights to bfloat16 or float16."""


def freeze_unused_modules(backbone: nn.Module) -> None:
    """Turn off the gradients of what no output depends on; deleting it would change the checkpoint's keys."""
    for path, module in backbone.named_modules():
        if path.rpartition(".")[2] in UNUSED_MODULES:
            module.requires_grad_(False)


def auto_class(text_config: PretrainedConfig) -> Any:
    """`AutoModelForTextEncoding` for encoder-decoders such as T5, whose `AutoModel` would want decoder inputs."""
    text_encoders = AutoModelForTextEncoding._model_mapping
    return AutoModelForTextEncoding if type(text_config) in text_encoders else AutoModel


def num_positions(backbone: nn.Module) -> int | None:
    """How many tokens of a text the encoder has learned a position for: it fails at the next.

    `None` where it has no such table, as with rotary or relative positions. RoBERTa and its kin count from behind the
    place of padding, which costs them that many.
    """
    for name, module in backbone.named_modules():
        if name.rpartition(".")[2] in POSITION_TABLES:
            config: Any = backbone.config
            padding = getattr(module, "padding_idx", None)
            return int(config.max_position_embeddings) - (0 if padding is None else padding + 1)
    return None


def limit_to_positions(tokenizer: Any, backbone: nn.Module) -> None:
    """Let a tokenizer read no more of a text than the encoder has positions for."""
    positions = num_positions(backbone)
    if positions is not None:
        tokenizer.model_max_length = min(positions, tokenizer.model_max_length)


def readable_tokens(text_config: PretrainedConfig) -> int | None:
    """How many tokens of a text the encoder can read, `None` where it sets no limit (or XLNet's -1)."""
    positions: int | None = getattr(text_config, "max_position_embeddings", None)
    return positions if positions is not None and positions > 0 else None
