"""Each task's loss between two lines of the log."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor


class TaskLossLog:
    """Adds up the tasks' losses, on their device, until they are asked for.

    Args:
        device: Where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._batches: dict[str, int] = {}

    def begin_batch(self, tasks: Iterable[str]) -> None:
        """An effective batch begins in which `tasks` have labels, in whichever process."""
        for name in tasks:
            self._batches[name] = self._batches.get(name, 0) + 1

    @torch.no_grad()
    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add one micro-batch's part of its effective batch's losses."""
        if losses:
            names, losses_T = tuple(losses), torch.stack(list(losses.values()))
            self._sums[names] = self._sums[names] + losses_T if names in self._sums else losses_T

    def means(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Per task, the mean of its losses over the effective batches that had labels for it; then forget them.

        Args:
            reduce: Sums a tensor over all processes; each of them holds the part of its own rows.
        """
        names = sorted(self._batches)
        if not names:
            return {}
        sums = dict.fromkeys(names, torch.zeros((), device=self._device))
        for together, losses_T in self._sums.items():
            found = zip(together, losses_T.unbind(), strict=True)
            sums |= {name: sums[name] + loss for name, loss in found if name in sums}
        sums_T = reduce(torch.stack(list(sums.values())))
        means = {name: total / self._batches[name] for name, total in zip(names, sums_T.tolist(), strict=True)}
        self.clear()
        return means
