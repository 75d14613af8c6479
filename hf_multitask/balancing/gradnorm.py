"""Balancing so that tasks which lag behind have larger gradients."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from .learned import LearnedNumbers, from_state, to_state

LEARNING_RATE = 0.025
"""Of the factors; the paper's."""
ALPHA = 1.5
"""How strongly a task that lags behind is pulled along; the middle of the paper's values."""
SMALLEST = 1e-3
"""A factor stays at least this, so that its task is never turned round or lost."""


class GradNorm:
    r"""Learned factors $c_t$ of the tasks' gradients that bring their norms to common ones,

    $$ \min_c \sum_t \left| c_t \lVert M_t \rVert - \bar G\, r_t^{1.5} \right|, \qquad
       r_t = \frac{\ell_t / \ell_t^0}{\mathrm{mean}_u\, \ell_u / \ell_u^0}, $$

    with $\bar G$ the mean of $c_t \lVert M_t \rVert$, held constant, and $\ell_t^0$ the task's first loss (Chen et al.
    2018). One step of Adam an effective batch; then the factors are scaled to sum to T.

    The paper's norms are those of the gradients of the last shared layer's weights; these are of the virtual layer
    behind it, see [`FanOut`], and stand for them. They are summed over the whole effective batch first, so that
    accumulation and processes change nothing. They are divided by their root mean square, so that a scale common to
    all gradients, such as that of mixed precision, changes nothing either.

    Args:
        names: The tasks.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._numbers = LearnedNumbers(names, 1.0, LEARNING_RATE)
        self._first: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}

    def factors(self, names: Sequence[str], virtual_TDD: Tensor) -> list[float]:
        """The factors learned so far."""
        for name, part_DD in zip(names, virtual_TDD, strict=True):
            self._sums[name] = self._sums[name] + part_DD if name in self._sums else part_DD.clone()
        numbers = self._numbers.values()
        return [numbers[name] for name in names]

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """One step of Adam for the tasks that have a loss and a gradient."""
        norms = {name: float(self._sums[name].norm()) for name in losses if name in self._sums}
        self._sums = {}
        self._first = {name: loss for name, loss in losses.items() if loss > 0} | self._first
        names = [name for name in norms if 0 < norms[name] < math.inf and name in self._first]
        if len(names) < 2:
            return
        size = math.sqrt(sum(norms[name] ** 2 for name in names) / len(names))
        numbers = self._numbers.values()
        rates = {name: losses[name] / self._first[name] for name in names}
        mean_rate = sum(rates.values()) / len(names) or 1.0
        scaled = {name: numbers[name] * norms[name] / size for name in names}
        mean = sum(scaled.values()) / len(names)
        gaps = {name: scaled[name] - mean * (rates[name] / mean_rate) ** ALPHA for name in names}
        self._numbers.step({name: float((gap > 0) - (gap < 0)) * norms[name] / size for name, gap in gaps.items()})
        kept = {name: max(number, SMALLEST) for name, number in self._numbers.values().items()}
        scale = len(kept) / sum(kept.values())
        self._numbers.set({name: scale * number for name, number in kept.items()})

    def state(self) -> dict[str, Tensor]:
        """See [`Method`]."""
        return self._numbers.state() | to_state("first", self._first)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See [`Method`]."""
        self._numbers.load(state)
        self._first = from_state("first", state)
