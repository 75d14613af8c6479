"""Whether it pays in a run to compile the encoder and to record its passes, told by the run's own steps."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ..modeling.packing import PACKED_ATTENTION
from ..modeling.segments import WIDEST, attends_short
from ..modeling.stacked_heads import has_hooks
from .arguments import MultiTaskTrainingArguments
from .compiled import compiled_layers, layers_of
from .graphed import graphed, head_size
from .run_callback import RunCallback

logger = logging.getLogger(__name__)

WARM, STEPS = 4, 12
"""Time is taken from the steps behind the first number up to the second: what is made at first use is made before."""

LEAST = 240.0
"""Seconds that the rest of a run must take. Compiling took 30 s, with an encoder of twelve layers on an H200, and saved
a third of the time of a step and more."""


class Compilation(RunCallback):
    """Compiles the encoder's layers and records its passes where the rest of a run takes long enough.

    On a GPU with `performance` "auto": fused operations round a few times less than others, so it is no "exact".

    Args:
        model: The model that is trained, in no wrapper.
        args: Of the run.
        clock: Tells the time in seconds, when the GPU has done all it was told.
    """

    def __init__(self, model: Any, args: MultiTaskTrainingArguments, clock: Callable[[], float] | None = None) -> None:
        self._model, self._args, self._clock = model, args, clock or _time_on_gpu
        self._is_wanted = args.performance == "auto" and args.device.type == "cuda"
        self._stack = ExitStack()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Undo it when the run ends."""
        with self._stack:
            yield

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the steps of this run from here."""
        self._first, self._seconds = state.global_step, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the time: what lies between steps, as evaluation, is not what compiling is for."""
        if self._is_wanted and WARM <= state.global_step - self._first < STEPS:
            self._begin = self._clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the time of some steps, and do what it is for where it pays."""
        done = state.global_step - self._first
        if not self._is_wanted or not WARM < done <= STEPS:
            return
        self._seconds += self._clock() - self._begin
        if done < STEPS:
            return
        seconds = self._seconds / (STEPS - WARM) * (state.max_steps - state.global_step)
        if seconds < LEAST:
            return
        told = f"the steps that are left would take {seconds:.0f} s, and it pays from {LEAST:.0f} s on"
        if reason := why_not_compiled(self._model, self._args):
            logger.info("performance: auto, layers are not compiled, though %s: %s", told, reason)
            return
        logger.info("performance: auto, layers are compiled and the encoder's passes recorded from now on: %s", told)
        self._stack.enter_context(compiled_layers(self._model.backbone))
        self._stack.enter_context(graphed(self._model))


def _time_on_gpu() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def why_not_compiled(model: Any, args: MultiTaskTrainingArguments) -> str:
    """Why a run is not compiled, however long it takes, in words; nothing where it is."""
    text_config = model.config.text_config
    if text_config._attn_implementation != PACKED_ATTENTION or not args.bf16:
        return "batches are not packed, or not in bfloat16"
    if not args.is_alone:
        return "there are several processes, or the model is sharded"
    if args.balancing == "famo":
        return "the balancing reads a batch a second time, with the same dropout"
    layers = layers_of(model.backbone)
    if args.conflict_by_depth or any(layer.gradient_checkpointing for layer in layers):
        return "layers run a second time, or show their gradients"
    if not layers or any(map(_is_watched, model.backbone.modules())):
        return "the encoder has other layers, or somebody's hooks"
    if not attends_short(args.device, min(WIDEST, head_size(text_config))):
        return "Triton, by which it is compiled, does not work here"
    return ""


def _is_watched(module: Any) -> bool:
    return has_hooks(module) or any(p._backward_hooks for p in module.parameters(recurse=False))
