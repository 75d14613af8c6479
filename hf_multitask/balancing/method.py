"""What a way of balancing tasks is: one that weighs their losses, or one that weighs their gradients."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor


class Method(Protocol):
    """Common to both kinds.

    Every process has the same method in the same state: what it is told is summed over processes first.
    """

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Learn from an effective batch: its tasks' losses, without weights, over all micro-batches and processes.

        `after` holds the losses of the same rows behind the optimizer's step, for a method that `measures_after`.
        """

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs to go on as if it had not been away; empty where nothing is remembered."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""


class LossMethod(Method, Protocol):
    """Weighs the tasks' losses, for the encoder and the heads alike."""

    measures_after: bool
    """Whether the losses are computed again after each step."""

    def begin_epoch(self, epoch: int) -> None:
        """The epoch with this number begins, or goes on."""

    def factors(self, names: Sequence[str]) -> dict[str, float]:
        """The factor of each of these tasks' losses in the effective batch that begins."""


class GradientMethod(Method, Protocol):
    """Weighs the tasks' gradients where they enter the encoder; the heads learn as from the plain sum."""

    def factors(self, names: Sequence[str], virtual_TDD: Tensor) -> list[float]:
        """The factor of each task's gradient; see [`FanOut`] for the virtual gradients. A zero one takes no part."""
