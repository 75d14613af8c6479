"""The layers of an encoder, compiled one by one for as long as a model trains."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def compiled_layers(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Fuse what a layer does between its matrix products; parameters, their names and hooks stay as they are.

    One layer is compiled, for any number of tokens, and all others of its kind use the same code: `torch.compile` of
    the whole model would take a multiple of that time, and again for batches of another make.

    Args:
        model: Has layers of transformers' `GradientCheckpointingLayer`.
        wanted: Whether to do it at all.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer) and wanted]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
