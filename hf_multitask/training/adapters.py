"""LoRA: small adapters are trained in place of the encoder's weights, beside the heads."""

from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from ..modeling.backbone import UNUSED_MODULES, freeze_unused_modules
from ..modeling.modeling_multitask import MultiTaskModel
from ..settings.lora_settings import LoraSettings


def add_lora(model: MultiTaskModel, settings: LoraSettings) -> Any:
    """`model` in a `PeftModel` that trains adapters on linear layers of its encoder, and every head in full.

    Args:
        model: The model, whose layers are replaced in place.
        settings: Size and place of the adapters.

    Raises:
        ImportError: peft is not installed.
        ValueError: A setting makes no sense, or names no linear layer of this encoder.
    """
    settings.check()
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("LoRA needs the package peft, found none. Run `pip install peft`.") from error
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # a factor, which may be any number
        lora_dropout=settings.dropout,
        target_modules=_adapted_layers(model, settings.target_modules),
        modules_to_save=[f"heads.{task}" for task in model.heads] or None,
    )
    return get_peft_model(model, config)


def merge(model: Any) -> MultiTaskModel:
    """The ordinary model that gives the same logits: the adapters added to the encoder's weights, the trained heads.

    All of it is trainable again.

    Args:
        model: What [`add_lora`] returned, which is used up.
    """
    merged: MultiTaskModel = model.merge_and_unload()
    merged.requires_grad_(True)
    freeze_unused_modules(merged.backbone)
    return merged


def _adapted_layers(model: MultiTaskModel, wanted: list[str] | None) -> list[str]:
    """Full names of the linear layers of the encoder, of those that end in one of `wanted` if there are any."""
    linear = [
        f"backbone.{name}"
        for name, module in model.backbone.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not set(name.split(".")).intersection(UNUSED_MODULES)
    ]
    if wanted is None:
        return linear
    for target in wanted:
        if not any(name.endswith(f".{target}") for name in linear):
            raise ValueError(
                f"lora.target_modules must name linear layers of the encoder, found {target!r}. Choose from "
                f"{sorted({name.rpartition('.')[2] for name in linear})}, or leave it out for all."
            )
    return [name for name in linear if any(name.endswith(f".{target}") for target in wanted)]
