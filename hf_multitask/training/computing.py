"""A model as it is trained and evaluated: as fast as the machine can, and afterwards as it was."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..modeling.attention import why_not_packed
from ..modeling.backbone import NO_AUTOCAST
from ..modeling.dropout import quick_dropout
from ..modeling.kept_memory import give_memory_back
from ..modeling.packing import PACKED_ATTENTION, lengths_of
from ..modeling.performance import computing, probe
from .arguments import MultiTaskTrainingArguments

logger = logging.getLogger(__name__)


@contextmanager
def fast(model: Any, args: MultiTaskTrainingArguments) -> Iterator[None]:
    """Compute as `args` chose, and without padding where, and only where, they say so; then put everything back."""
    before = model.config.text_config._attn_implementation
    padded = "sdpa" if before == PACKED_ATTENTION else before  # somebody may have encoded texts before
    wanted = padded if why_padded(model, args) else PACKED_ATTENTION
    if wanted != before:
        model.set_attn_implementation(wanted)
    try:
        with computing(args.choices, args.device.type), quick_dropout(model, args.choices.dropout):
            yield
    finally:
        if args.choices.memory:
            give_memory_back()
        if model.config.text_config._attn_implementation != before:
            model.set_attn_implementation(before)


def check_computing(model: Any, args: MultiTaskTrainingArguments) -> None:
    """Say in the log what is slower than it could be.

    Raises:
        ValueError: `packing` is on and cannot be, or the precision is of 16 bits and cannot be.
    """
    model_type = model.config.text_config.model_type
    if (args.bf16 or args.fp16) and model_type in NO_AUTOCAST and model.dtype == torch.float32:
        raise ValueError(
            f"{model_type!r} must be trained without bf16, fp16 and performance='auto', which chooses bf16: "
            "transformers' code of the architecture cannot compute so. Leave them out."
        )
    if args.bf16 and args.device.type == "cpu" and (gain := probe(torch.get_num_threads()).bf16_gain) < 1:
        logger.warning(
            "bf16 should be left out on this CPU, which multiplies in bfloat16 %.2f times as fast as in float32",
            gain,
        )
    reason = why_padded(model, args)
    if reason and args.packing == "on":
        raise ValueError(f"packing must be 'auto' or 'off' here, found 'on': {reason}. Leave it out.")
    if reason and args.packing == "auto" and args.performance != "off":
        logger.info("Batches are read with their padding: %s", reason)


def known_lengths(config: Any, inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """`text_lengths` for the model, where it would have to ask its device for them; nothing elsewhere.

    Args:
        config: The model's.
        inputs: A batch, which may still be on the host.
        device: Where the model is.
    """
    ids = [name for name in ("input_ids", "pair_input_ids") if inputs.get(name) is not None]
    masks = [inputs.get(name.replace("input_ids", "attention_mask")) for name in ids]
    is_packed = config.text_config._attn_implementation == PACKED_ATTENTION
    if not ids or not is_packed or device.type == "cpu":
        return {}
    on_host = [mask for mask in masks if isinstance(mask, Tensor) and mask.device.type == "cpu"]
    lengths = [found for mask in on_host if (found := lengths_of(mask)) is not None]
    return {"text_lengths": np.concatenate(lengths)} if len(lengths) == len(ids) else {}


def why_padded(model: Any, args: MultiTaskTrainingArguments) -> str:
    """Why batches are read with their padding, in words; nothing where they are not."""
    if args.packing == "off":
        return "packing is off"
    if args.packing == "auto" and args.performance == "off":
        return "performance is off"
    if args.neftune_noise_alpha is not None:
        return "the noise of neftune_noise_alpha is by the length of padded batches"
    return "torch_compile is on" if args.torch_compile else why_not_packed(model)
