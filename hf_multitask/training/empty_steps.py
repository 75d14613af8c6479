"""Effective batches that nothing is learned from."""

import logging
from typing import Any

from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)


class EmptySteps(TrainerCallback):
    """Knows whether an effective batch has a label for a task with a loss, and if not, says so.

    There are no gradients then, and an optimizer's step changes nothing; but the `GradScaler` of float16 must not be
    asked to unscale or to step, as it asserts that there are some.

    Args:
        accelerator: The Trainer's, whose optimizers step where it synchronises gradients.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.is_empty = False

    def begin_batch(self, is_empty: bool, step: int) -> None:
        """An effective batch begins, for the optimizer's step after so many."""
        self.is_empty = is_empty
        if is_empty:
            logger.warning("Step %d: no row has a label for a task with a loss; nothing is learned", step)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let the step pass a scaler by."""
        if self.is_empty and self._accelerator.scaler is not None:
            self._accelerator.gradient_state._set_sync_gradients(False)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What follows, the learning rates above all, goes on as behind any step."""
        self._accelerator.gradient_state._set_sync_gradients(True)
