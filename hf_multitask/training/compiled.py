"""The layers of an encoder, compiled one by one for as long as a model trains."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def compiled_layers(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Fuse what a layer does between its matrix products; parameters, their names and hooks stay as they are.

    For a model on a GPU whose batches are packed. One layer is compiled, for any number of tokens, and all others of
    its kind use the same code: `torch.compile` of the whole model would take a multiple of that time, and again for
    batches of another make.

    Args:
        model: Has layers of transformers' `GradientCheckpointingLayer`.
        wanted: Whether to do it at all.

    Raises:
        ValueError: It has no such layers, as ALBERT.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer) and wanted]
    if wanted and not layers:
        raise ValueError(
            f"A model to compile must have layers of {GradientCheckpointingLayer.__name__}, found none in "
            f"{type(model).__name__}. Leave compiled_layers out."
        )
    before = [layer._compiled_call_impl for layer in layers]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer, call in zip(layers, before, strict=True):
            layer._compiled_call_impl = call
