"""Weights of linear layers in bfloat16, in the order in which oneDNN multiplies by them, kept for a list of texts.

A product by a weight as it lies copies it into that order first, each time. What torch's compiler does to weights that
do not change, by the same two operators, needs no compiler here. In float32, where it would gain less, a second copy of
the weights would take memory; in bfloat16 autocast keeps one anyway.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

FEWEST_TOKENS = 64
"""Below that, a product is a small part of a pass."""

ENOUGH_TOKENS = 1024
"""From that on, a single product by an ordered weight saves the time of ordering it: measured in bfloat16."""

_USERS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How many threads are inside, of a model."""
_COUNTING = Lock()


class OrderedWeights:
    """Those of the layers that are used twice, or for many tokens: for one short batch it would not pay."""

    def __init__(self) -> None:
        self._ordered: dict[nn.Linear, tuple[Tensor, Tensor | None] | None] = {}

    def linear(self, layer: nn.Linear, values: Tensor) -> Tensor | None:
        """What the layer makes of the values; `None` where it is to do that by itself."""
        tokens = values.numel() // layer.in_features
        if tokens < FEWEST_TOKENS or not torch.is_autocast_enabled("cpu"):  # some layers are kept out of it
            return None
        found = self._ordered.get(layer)
        if found is None:
            if layer not in self._ordered and tokens < ENOUGH_TOKENS:
                self._ordered[layer] = None
                return None
            weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.bfloat16(), tokens)
            found = weight, None if layer.bias is None else layer.bias.bfloat16()
            self._ordered[layer] = found
        result: Tensor = torch.ops.mkldnn._linear_pointwise(values.bfloat16(), *found, "none", [], "")
        return result


_weights: ContextVar[OrderedWeights | None] = ContextVar("_weights", default=None)


class OrderedLinear(nn.Linear):
    """As `torch.nn.Linear`, by a weight that is kept in order within [`ordered_weights`] of this thread."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """The values times the weight, plus the bias."""
        weights = None if torch.compiler.is_compiling() or torch.is_grad_enabled() else _weights.get()
        found = None if weights is None else weights.linear(self, input)
        # Not by `super()`: another thread may turn the layer back meanwhile.
        return nn.Linear.forward(self, input) if found is None else found


@contextmanager
def ordered_weights(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Let a model multiply by such weights within autocast; they must not change meanwhile. Inside another, nothing.

    Each thread has copies of its own, of half the size of the weights.

    Args:
        model: Has layers of exactly `torch.nn.Linear`; others are left as they are.
        wanted: Whether to do it at all.
    """
    if not wanted or _weights.get() is not None or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        yield
        return
    _enter(model)
    before = _weights.set(OrderedWeights())
    try:
        yield
    finally:
        _weights.reset(before)
        _leave(model)


def _enter(model: nn.Module) -> None:
    with _COUNTING:
        if not _USERS.setdefault(model, 0):
            _turn(model, nn.Linear, OrderedLinear)
        _USERS[model] += 1


def _leave(model: nn.Module) -> None:
    with _COUNTING:
        _USERS[model] -= 1
        if not _USERS[model]:
            del _USERS[model]
            _turn(model, OrderedLinear, nn.Linear)


def _turn(model: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> None:
    for layer in model.modules():
        if type(layer) is old and type(layer.weight) is nn.Parameter:  # others, as of torchao, multiply otherwise
            layer.__class__ = new
