"""A model as it is trained and evaluated: as fast as the machine can, and afterwards as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..modeling.attention import why_not_packed
from ..modeling.packing import PACKED_ATTENTION
from ..modeling.performance import computing, probe
from .arguments import MultiTaskTrainingArguments

logger = logging.getLogger(__name__)


@contextmanager
def fast(model: Any, args: MultiTaskTrainingArguments) -> Iterator[None]:
    """Compute as `args` chose, and without padding where they say so; then put everything back.

    Raises:
        ValueError: `packing` is on and cannot be.
    """
    if args.bf16 and args.device.type == "cpu" and (gain := probe(torch.get_num_threads()).bf16_gain) < 1:
        logger.warning(
            "bf16 should be left out on this CPU, which multiplies in bfloat16 %.2f times as fast as in float32. Pass "
            "performance='auto', which takes it where it pays",
            gain,
        )
    before = model.config.text_config._attn_implementation
    if packs(model, args):
        model.set_attn_implementation(PACKED_ATTENTION)
    try:
        with computing(args.choices, args.device.type):
            yield
    finally:
        if model.config.text_config._attn_implementation != before:
            model.set_attn_implementation(before)


def packs(model: Any, args: MultiTaskTrainingArguments) -> bool:
    """Whether batches are read without padding.

    Raises:
        ValueError: They are to be, and cannot be.
    """
    if args.packing == "off" or (args.packing == "auto" and args.performance == "off"):
        return False
    reason = "torch_compile is on" if args.torch_compile else why_not_packed(model)
    if reason and args.packing == "on":
        raise ValueError(f"packing must be 'auto' or 'off' here, found 'on': {reason}. Leave it out.")
    if reason:
        logger.info("Batches are read with their padding: %s", reason)
    return not reason
