"""A model as it is used, not trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .attention import prefer_packed
from .performance import choose, computing


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and gradients; the model is left in the mode, training or evaluation, it was in."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if was_training:
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
    device_type = model.device.type
    choices = choose(performance, device_type)
    if performance != "off":
        prefer_packed(model)
    with evaluating(model), computing(choices, device_type, autocast=True):
        yield
