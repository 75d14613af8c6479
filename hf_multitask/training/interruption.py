"""A run that is asked to stop saves a checkpoint and ends."""

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a scheduler or a launcher sends."""


class StopOnSignal(TrainerCallback):
    """At the first signal all processes finish their step, save a checkpoint there and stop; at the second they die.

        with StopOnSignal() as stop:
            trainer.add_callback(stop)
            trainer.train()
        if stop.interrupted:
            sys.exit(128 + stop.interrupted)

    A signal may reach one process alone, or several at different steps: they agree at the end of every step. The
    handlers are in place within the `with`, and only in a program's main thread, the one that gets signals.
    """

    interrupted: int | None = None
    """The signal that the run stops for, the same in all processes; `None` if it ran to its end."""

    def __init__(self) -> None:
        self._received = 0
        self._saved = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        if threading.current_thread() is threading.main_thread():
            wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._receive) for number in wanted}
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if exception is None and self._received and self.interrupted is None:
            signal.raise_signal(self._received)  # it came too late to be agreed on: as if there were no `with`

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = number

    def _agree(self, args: TrainingArguments) -> None:
        """Set `interrupted` in all processes if any has received a signal."""
        number = self._received
        if args.world_size > 1:
            highest = torch.tensor(number, device=args.device)
            torch.distributed.all_reduce(highest, op=torch.distributed.ReduceOp.MAX)
            number = int(highest.item())
        self.interrupted = number or None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Have a checkpoint saved if a signal has come."""
        self._agree(args)
        if self.interrupted:
            if state.is_world_process_zero:
                name = signal.Signals(self.interrupted).name
                logger.warning("%s: saving a checkpoint at step %d, then stopping", name, state.global_step)
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop only now that there is a checkpoint; its own record of `control` so does not say that the run ended."""
        if self.interrupted:
            self._saved = True
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Do nothing of what the end of an epoch brings: this is none, and the checkpoint is saved."""
        if self._saved:
            control.should_log = control.should_evaluate = control.should_save = False

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Agree on a signal that came after the last step, during an evaluation perhaps."""
        self._agree(args)
        if args.world_size > 1:
            # Gloo's thread needs Python's lock for a moment to let go of the tensor. A program that ended here at once
            # would hold that lock in the destructor of the process group, waiting for that thread for ever.
            time.sleep(0.1)
