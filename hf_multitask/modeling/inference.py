"""A model as it is used, not trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .attention import prefer_packed
from .ordered_weights import ordered_weights
from .performance import choose, computing

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
    device_type = model.device.type
    choices = choose(performance, device_type)
    if performance != "off":
        prefer_packed(model)
    with (
        evaluating(model, keeps_casts=choices.bf16),
        computing(choices, device_type, autocast=True),
        ordered_weights(model, choices.bf16 and device_type == "cpu" and model.dtype == torch.float32),
    ):
        yield
