"""How long training takes, without its evaluations and checkpoints."""

import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class TrainingClock(TrainerCallback):
    """Adds up the time of the optimizer steps that it sees; of a run that was resumed these are not all.

    Evaluations, checkpoints and the reading of batches lie between steps and do not count.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._seconds = 0.0
        self._started = 0.0

    def seconds(self, steps: int) -> float | None:
        """The time of so many steps, by the mean of those that were seen; `None` if none was."""
        return self._seconds / self.steps * steps if self.steps else None

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start."""
        self._started = _now(args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop."""
        self._seconds += _now(args) - self._started
        self.steps += 1


def _now(args: TrainingArguments) -> float:
    """The time at which a GPU has done all it was told."""
    if args.device.type == "cuda":
        torch.cuda.synchronize(args.device)
    return time.perf_counter()
