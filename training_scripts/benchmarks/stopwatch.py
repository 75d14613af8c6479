"""When the steps of a Trainer begin and end."""

from typing import Any

from transformers import PrinterCallback, TrainerCallback

from .sampling import Method
from .variant import Reading


class Stopwatch(TrainerCallback):
    """Notes the time when a run starts and after every step.

    Args:
        method: Has the clock.
    """

    def __init__(self, method: Method) -> None:
        self.clock = method.clock
        self.made = self.clock()
        self.first_step = self.made
        self.ends: list[float] = []

    def start(self) -> None:
        """Begin to count."""
        self.made, self.ends = self.clock(), []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Note when all is set up."""
        if not self.ends:
            self.first_step = self.clock()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note that a step is done."""
        self.step()

    def step(self) -> None:
        """Note that a step is done."""
        self.ends.append(self.clock())

    @property
    def setup(self) -> Reading:
        """How long it took until the first step, in seconds."""
        return {"set-up, s": self.first_step - self.made}

    @property
    def steady(self) -> Reading:
        """The time of all steps but the first, which makes the optimizer's state."""
        return {"cost": self.ends[-1] - self.ends[0]}


def timed(trainer: Any, method: Method) -> Any:
    """A Trainer, ours or a peer's, with a stopwatch as `trainer.stopwatch`, and silent."""
    trainer.remove_callback(PrinterCallback)
    trainer.stopwatch = Stopwatch(method)
    trainer.add_callback(trainer.stopwatch)
    return trainer
