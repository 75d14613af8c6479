"""How far the tasks' gradients agree, measured every so many steps.

Letters of the shapes: T tasks, D hidden size.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .cosines import pair_cosines


class ConflictMonitor:
    r"""Adds up the tasks' virtual gradients over an effective batch, and tells the cosine of every pair of them.

    The virtual gradients are those of [`FanOut`], $M_t = \sum_n g_{tn} z_n^\top$, so that tasks whose labels are on
    different rows are compared too. How $M$ is related to the encoder's own parameters is exact for a last layer that
    is linear, $z = W x + b$:

    $$ M_t = \frac{\partial L_t}{\partial W} W^\top + \frac{\partial L_t}{\partial b} b^\top. $$

    The cosines are those of $\partial L_t / \partial W$ where $b = 0$ and $W^\top W = c I$ on the span of the inputs
    $x$; elsewhere they may differ, in their sign too. Of the layers below they say nothing; see [`depth_cosines`]. A
    factor of the loss above 0, such as a task's weight, changes no cosine.

    Args:
        names: Of the T tasks that may have a gradient, in the model's order.
        every_steps: So many optimizer steps lie between two measurements.
        device: Where a process in which no task ever had a gradient puts its zeros, for `reduce`.
    """

    def __init__(self, names: Sequence[str], every_steps: int, device: torch.device | str = "cpu") -> None:
        self.names = list(names)
        self.every_steps = every_steps
        self._device = torch.device(device)
        self._sums: dict[str, Tensor] = {}

    def due(self, step: int) -> bool:
        """Whether to measure at the step with this number, which counts from 1."""
        return step % self.every_steps == 0

    def observe(self, names: Sequence[str], virtual_TDD: Tensor) -> None:
        """Add what one backward pass of the effective batch showed: the gradients of some of the tasks."""
        for name, virtual_DD in zip(names, virtual_TDD.detach(), strict=True):
            self._sums[name] = self._sums[name] + virtual_DD if name in self._sums else virtual_DD.clone()
            self._device = virtual_DD.device

    def cosines(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """By `conflict/<a>|<b>`, the cosine of each pair that has gradients, in any process; then forget them.

        Args:
            reduce: Sums a tensor over all processes, all of which call this, also one that saw fewer tasks or none.
        """
        own = next((len(virtual_DD) for virtual_DD in self._sums.values()), 0)
        sizes, count = reduce(torch.tensor([own, int(own > 0)], device=self._device)).tolist()
        if not count:
            return {}
        size = int(sizes // count)  # D, which a process that saw nothing does not know
        nothing_DD = torch.zeros(size, size, device=self._device)
        sums_TDD = reduce(torch.stack([self._sums.get(name, nothing_DD) for name in self.names]))
        self._sums = {}
        return pair_cosines(self.names, sums_TDD.flatten(1))
