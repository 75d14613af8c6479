"""Whether it pays in a run to compile the encoder and to record its passes, told by the run's own steps."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from transformers import TrainerCallback

from ..modeling.packing import PACKED_ATTENTION
from .arguments import MultiTaskTrainingArguments
from .compiled import compiled_layers, layers_of
from .graphed import graphed

logger = logging.getLogger(__name__)

WARM, STEPS = 4, 12
"""The steps between whose ends time is taken: the first ones make what is made at first use."""

LEAST = 240.0
"""Seconds that the rest of a run must take. Compiling took 30 s, with an encoder of twelve layers on an H200, and saved
a third of the time of a step and more."""


class Compilation(TrainerCallback):
    """Compiles the encoder's layers and records its passes where the rest of a run takes long enough.

    On a GPU with `performance` "auto": fused operations round a few times less than others, so it is no "exact".

    Args:
        model: The model that is trained, in no wrapper.
        args: Of the run.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, model: Any, args: MultiTaskTrainingArguments, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._model, self._args, self._clock = model, args, clock
        self._stack = ExitStack()

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Undo it when the run ends."""
        with self._stack:
            yield

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the steps of this run from here."""
        self._first = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the time of some steps, and do what it is for where it pays."""
        done = state.global_step - self._first
        if done == WARM:
            self._begin = self._clock()
        if done != STEPS:
            return
        seconds = (self._clock() - self._begin) / (STEPS - WARM) * (state.max_steps - state.global_step)
        if seconds < LEAST or why_not_compiled(self._model, self._args):
            return
        logger.info(
            "performance: auto, layers compiled and the encoder's passes recorded from step %d on: the rest of the run "
            "would take %.0f s, and it pays from %.0f s on",
            state.global_step,
            seconds,
            LEAST,
        )
        self._stack.enter_context(compiled_layers(self._model.backbone))
        self._stack.enter_context(graphed(self._model))


def why_not_compiled(model: Any, args: MultiTaskTrainingArguments) -> str:
    """Why a run is not compiled, however long it takes, in words; nothing where it is."""
    if args.performance != "auto":
        return "performance is not auto"
    if args.device.type != "cuda":
        return f"it is slower on {args.device.type}"
    if model.config.text_config._attn_implementation != PACKED_ATTENTION or not args.bf16:
        return "batches are not packed, or not in bfloat16"
    if not args.is_alone:
        return "there are several processes, or the model is sharded"
    layers = layers_of(model.backbone)
    if args.conflict_by_depth or any(layer.gradient_checkpointing for layer in layers):
        return "layers run a second time, or show their gradients"
    if not layers or any(_has_hooks(module) for module in model.backbone.modules()):
        return "the encoder has other layers, or somebody's hooks"
    return ""


def _has_hooks(module: Any) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
