"""The encoder: which class builds it, and what of it nothing here reads."""

from typing import Any

from torch import nn
from transformers import AutoModel, AutoModelForTextEncoding, PretrainedConfig

UNUSED_MODULES = ("pooler", "contact_head")
"""Names of backbone modules that nothing here reads: their output is not the last hidden state."""


def freeze_unused_modules(backbone: nn.Module) -> None:
    """Turn off the gradients of what no output depends on; deleting it would change the checkpoint's keys."""
    for path, module in backbone.named_modules():
        if path.rpartition(".")[2] in UNUSED_MODULES:
            module.requires_grad_(False)


def auto_class(text_config: PretrainedConfig) -> Any:
    """`AutoModelForTextEncoding` for encoder-decoders such as T5, whose `AutoModel` would want decoder inputs."""
    text_encoders = AutoModelForTextEncoding._model_mapping
    return AutoModelForTextEncoding if type(text_config) in text_encoders else AutoModel


def readable_tokens(text_config: PretrainedConfig) -> int | None:
    """How many tokens of a text the encoder can read, `None` where it sets no limit (or XLNet's -1)."""
    positions: int | None = getattr(text_config, "max_position_embeddings", None)
    return positions if positions is not None and positions > 0 else None
