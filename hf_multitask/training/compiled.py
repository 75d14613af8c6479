"""The layers of an encoder, compiled one by one for as long as a model trains."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def compiled_layers(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Fuse what a layer does between its matrix products in training; parameters, their names and hooks stay.

    For a model on a GPU whose batches are packed. One layer is compiled, for any number of tokens, and all others of
    its kind use the same code: `torch.compile` of the whole model would take a multiple of that time, and again for
    batches of another make. Without gradients, as in evaluation, layers run as they are: that is other code to compile.

    Args:
        model: Has layers of transformers' `GradientCheckpointingLayer`.
        wanted: Whether to do it at all.

    Raises:
        ValueError: It has no such layers, as ALBERT.
    """
    layers = layers_of(model) if wanted else []
    if wanted and not layers:
        raise ValueError(
            f"A model to compile must have layers of {GradientCheckpointingLayer.__name__}, found none in "
            f"{type(model).__name__}. Leave compiled_layers out."
        )
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _compiled_in_training(layer, layer.forward)
    try:
        with warnings.catch_warnings():
            # torch._dynamo looks at what a layer is given, and torch warns of what it looks at.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
            yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that can be compiled."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _compiled_in_training(layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    compiled = torch.compile(forward, dynamic=True)

    def call(*args: Any, **kwargs: Any) -> Any:
        learns = layer.training and torch.is_grad_enabled()
        return (compiled if learns else forward)(*args, **kwargs)

    return call
