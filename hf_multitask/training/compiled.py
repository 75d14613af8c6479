"""The layers of an encoder, compiled one by one for as long as a model trains."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from transformers.modeling_layers import GradientCheckpointingLayer

from .own_forward import OwnForward

logger = logging.getLogger(__name__)


class CompiledForward(OwnForward):
    """What a layer computes, compiled where it learns.

    Without gradients, as in evaluation, it runs as it is: that would be other code to compile. So does a kind of layer
    that cannot be compiled, which is said in the log.

    Args:
        layer: The layer.
        failed: Kinds of layers that could not be compiled, to which its own may be added.
    """

    def __init__(self, layer: nn.Module, failed: set[type]) -> None:
        super().__init__(layer)
        self._compiled: Any = torch.compile(self._plain, dynamic=True)
        self._failed, self._kind = failed, type(layer)
        self._has_run = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the layer's `forward`."""
        if self._kind in self._failed or not self._module.training or not torch.is_grad_enabled():
            return self._plain(*args, **kwargs)
        try:
            with nullcontext() if self._has_run else _unwarned():
                found = self._compiled(*args, **kwargs)
        except TorchDynamoException as error:
            logger.warning("%s cannot be compiled, so it runs as it is: %s", self._kind.__name__, error)
            self._failed.add(self._kind)
            return self._plain(*args, **kwargs)
        self._has_run = True
        return found


@contextmanager
def _unwarned() -> Iterator[None]:
    """Without what torch warns of when torch._dynamo looks at all of what a layer is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
        yield


@contextmanager
def compiled_layers(model: nn.Module) -> Iterator[None]:
    """Fuse what a layer does between its matrix products in training; parameters, their names and hooks stay.

    For a model on a GPU whose batches are packed. One layer is compiled, for any number of tokens, and all others of
    its kind use the same code: `torch.compile` of the whole model would take a multiple of that time, and again for
    batches of another make.

    Args:
        model: Has layers of transformers' `GradientCheckpointingLayer`.

    Raises:
        ValueError: It has no such layers, as ALBERT.
    """
    layers = layers_of(model)
    if not layers:
        raise ValueError(
            f"A model to compile must have layers of {GradientCheckpointingLayer.__name__}, found none in "
            f"{type(model).__name__}. Leave compiled_layers out."
        )
    failed: set[type] = set()
    with ExitStack() as stack:
        for layer in layers:
            if not isinstance(layer.forward, CompiledForward):
                stack.enter_context(CompiledForward(layer, failed).in_place())
        yield


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that can be compiled."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
