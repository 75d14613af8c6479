"""Balancing by how fast each loss falls from epoch to epoch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

TEMPERATURE = 2.0
"""The paper's."""


class DynamicWeightAverage:
    r"""The factor of each loss, the same for a whole epoch $e$, is larger the less it fell,

    $$ c_t = T\, \mathrm{softmax}_t\!\left( \frac{1}{2}\, \frac{L_t(e-1)}{L_t(e-2)} \right), $$

    with $L_t(e)$ the mean of the task's losses over the effective batches of epoch $e$ that had labels for it (Liu,
    Johns and Davison 2019, with their temperature of 2). The first two epochs are those of the plain sum; a task
    without two epochs behind it counts as one that did not fall.

    Args:
        names: The tasks.
    """

    measures_after = False

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._epoch = 0
        self._sums = self._counts = self._last = self._before = torch.zeros(len(names), dtype=torch.float64)

    def begin_epoch(self, epoch: int) -> None:
        """Take the means of the epoch that has ended; an epoch that goes on changes nothing."""
        if epoch != self._epoch:
            self._epoch = epoch
            mean_T = self._sums / self._counts.clamp(min=1)
            self._before, self._last = self._last, mean_T
            self._sums = self._counts = torch.zeros_like(mean_T)

    def factors(self, names: Sequence[str]) -> dict[str, float]:
        """See the class."""
        both = (self._last > 0) & (self._before > 0)
        if not both.any():
            return dict.fromkeys(names, 1.0)
        falls_T = torch.where(both, self._last / self._before, 1.0)
        factors_T = len(self._names) * torch.softmax(falls_T / TEMPERATURE, dim=0)
        found = dict(zip(self._names, factors_T.tolist(), strict=True))
        return {name: found[name] for name in names}

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Add the losses to the epoch's."""
        known = [name in losses for name in self._names]
        self._sums = self._sums + torch.tensor([losses.get(name, 0.0) for name in self._names], dtype=torch.float64)
        self._counts = self._counts + torch.tensor(known, dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """See [`Method`]; in the tasks' order."""
        kept = {"sums": self._sums, "counts": self._counts, "last": self._last, "before": self._before}
        return {name: value.clone() for name, value in kept.items()} | {"epoch": torch.tensor(self._epoch)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See [`Method`]."""
        self._epoch = int(state["epoch"])
        self._sums, self._counts = state["sums"], state["counts"]
        self._last, self._before = state["last"], state["before"]
