"""A model as it is used, not trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers.utils import logging

from .attention import prefer_packed
from .backbone import NO_AUTOCAST
from .ordered_weights import ordered_weights
from .performance import Choices, choose, computing

logger = logging.get_logger(__name__)

_USERS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How many threads use a model that was in training, and is to be so again when the last one is done."""
_COUNTING = Lock()


@contextmanager
def evaluating(model: nn.Module, keeps_casts: bool = False) -> Iterator[None]:
    """Without dropout and gradients; the model is left in the mode, training or evaluation, it was in.

    Args:
        model: The model.
        keeps_casts: Whether autocast is to cast a weight once, not for each batch, which it does not in inference mode.
    """
    with _COUNTING:
        returns_to_training = model.training or model in _USERS
        if returns_to_training:
            _USERS[model] = _USERS.get(model, 0) + 1
            model.eval()
    try:
        with torch.no_grad() if keeps_casts else torch.inference_mode():
            yield
    finally:
        if returns_to_training:
            with _COUNTING:
                _USERS[model] -= 1
                if not _USERS[model]:
                    del _USERS[model]
                    model.train()


@contextmanager
def serving(model: Any, performance: str = "exact") -> Iterator[None]:
    """As [`evaluating`], and as fast as the machine can.

    Unless `performance` is off, the model reads texts without their padding from then on, also where it is off later,
    for the same results; see [`prefer_packed`].

    Args:
        model: The model.
        performance: `exact`, `auto` or `off`; see [`choose`].
    """
    device_type = compute_device(model).type
    choices = _fitting(model, choose(performance, device_type))
    if performance != "off":
        prefer_packed(model)
    with (
        evaluating(model, keeps_casts=choices.bf16),
        computing(choices, device_type, autocast=performance != "off" and device_type != "meta"),
        ordered_weights(model, choices.bf16 and device_type == "cpu" and model.dtype == torch.float32),
    ):
        yield


def compute_device(model: Any) -> torch.device:
    """Where a model computes: that of its weights, unless Accelerate keeps these elsewhere and brings them there."""
    device: torch.device = model.device
    if device.type != "meta":
        return device
    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        for part in getattr(hook, "hooks", (hook,)):  # several may be put together
            place: Any = getattr(part, "execution_device", None)
            if place is not None:
                return torch.device(place)
    return device


def _why_not_rounded(model: Any) -> str:
    """Why a model cannot compute in bfloat16 by autocast, in words; nothing where it can."""
    model_type = model.config.text_config.model_type
    if model.dtype == torch.float32 and model_type in NO_AUTOCAST:
        return f"transformers' code of the architecture {model_type!r} cannot"
    if model.dtype not in (torch.float32, torch.bfloat16):
        return f"the weights are in {model.dtype}"
    return ""


def _fitting(model: Any, choices: Choices) -> Choices:
    reason = _why_not_rounded(model) if choices.bf16 else ""
    if not reason:
        return choices
    logger.info_once(f"performance: auto computes in bfloat16 where it can, which it does not here: {reason}")
    return choices._replace(bf16=False)
