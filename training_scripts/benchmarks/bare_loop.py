"""What a careful user writes in place of a Trainer."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from hf_multitask import MultiTaskTrainer
from hf_multitask.training.computing import fast

from .sampling import Method
from .stopwatch import Stopwatch
from .variant import Reading


class BareLoop:
    """A loop by hand, with the Trainer's optimizer, schedule and clipping.

    Args:
        model: Returns a loss.
        loader: Its batches.
        stopwatch: Told of every step.
        optimizer: AdamW, one kernel for all parameters, unless given.
        computing: Opens what holds while it trains.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Any,
        stopwatch: Stopwatch,
        optimizer: Any = None,
        computing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.model = model
        self.loader = loader
        self.stopwatch = stopwatch
        self.computing = computing
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = optimizer or torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0, fused=True)

    def each(self, steps: int = -1, backward: Any = None) -> Generator[None, None, None]:
        """One epoch, or `steps`, one at a time.

        Args:
            steps: Where to stop.
            backward: Fills the gradients from the outputs; by default `outputs.loss.backward()`.
        """
        schedule = get_linear_schedule_with_warmup(self.optimizer, 0, max(steps, len(self.loader)))
        device = next(self.model.parameters()).device
        self.model.train()
        with self.computing():
            for number, batch in enumerate(self.loader):
                if number == steps:
                    break
                outputs = self.model(**_moved(batch, device))
                backward(outputs) if backward else outputs.loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                schedule.step()
                self.optimizer.zero_grad()
                self.stopwatch.step()
                yield

    def train(self, steps: int = -1, backward: Any = None) -> None:
        """As [`each`], all of them."""
        for _ in self.each(steps, backward):
            pass

    def steady(self, steps: int, backward: Any = None) -> Reading:
        """Train; the time of all steps but the first."""
        self.train(steps, backward)
        return self.stopwatch.steady


def in_place_of(trainer: Any, method: Method) -> BareLoop:
    """A loop over a Trainer's model, batches and optimizer, which computes as the Trainer would.

    Args:
        trainer: Ours, or transformers'. Ours chooses how products are computed, and whether batches are packed.
        method: Has the clock.
    """
    trainer.create_optimizer()
    how = (trainer.model, trainer.get_train_dataloader(), Stopwatch(method), trainer.optimizer)
    if isinstance(trainer, MultiTaskTrainer):
        return BareLoop(*how, computing=lambda: fast(trainer.model, trainer.args))
    return BareLoop(*how)


def _moved(batch: Any, device: torch.device) -> dict[str, Any]:
    """A batch on the device."""
    return {
        name: _moved(value, device) if isinstance(value, dict) else value.to(device)
        for name, value in batch.items()
        if name != "row_ids"
    }
