"""Balancing so that all losses fall at about the same rate."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from .learned import LearnedNumbers, from_state, to_state

LEARNING_RATE = 0.025
"""Of the logits; the paper's."""
WEIGHT_DECAY = 1e-3
"""Of the logits; the paper's."""
SMALLEST = 1e-8
"""Added to a loss before its logarithm."""


class Famo:
    r"""The factor of each loss follows from learned logits $w$,

    $$ c_t = K\, \frac{z_t / \ell_t}{\sum_u z_u / \ell_u}, \qquad z = \mathrm{softmax}(w), $$

    over the K tasks that the effective batch has labels for, which is the gradient of $\sum_t z_t \log \ell_t$ scaled
    so that the factors sum to K as those of the plain sum do. After the optimizer's step the losses of the *same* rows
    are computed again, with the same dropout, and $w$ takes a step of Adam along

    $$ \left( \frac{\partial z}{\partial w} \right)^\top \delta, \qquad
       \delta_t = \log \ell_t^\text{before} - \log \ell_t^\text{after}, $$

    so that a task which fell faster than the others weighs less (Liu et al. 2023, "FAMO", algorithm 2). That second
    forward pass is the method's price, about a third of a step's time. The next batch's losses in its place would cost
    nothing, but the difference of two batches is mostly noise, by whose size Adam divides: the logits would stand
    nearly still.

    One thing differs from the paper: $\ell_t$ in the factors is the newest loss known *before* the effective batch, of
    the rows of the last one, since with several micro-batches its own is known only behind its last backward pass. A
    task without a loss yet has the factor 1.

    Args:
        names: The tasks.
    """

    measures_after = True

    def __init__(self, names: Sequence[str]) -> None:
        self._logits = LearnedNumbers(names, 0.0, LEARNING_RATE, WEIGHT_DECAY)
        self._losses: dict[str, float] = {}

    def begin_epoch(self, epoch: int) -> None:
        """Nothing."""

    def factors(self, names: Sequence[str]) -> dict[str, float]:
        """See the class."""
        known = [name for name in names if name in self._losses]
        shares = {name: share / self._losses[name] for name, share in self._shares(known).items()}
        scale = len(known) / sum(shares.values()) if known else 1.0
        return {name: scale * shares[name] if name in shares else 1.0 for name in names}

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """One step of Adam, from the losses before and after the optimizer's."""
        falls = {name: math.log(losses[name] + SMALLEST) - math.log(after[name] + SMALLEST) for name in losses}
        shares = self._shares(list(losses))
        mean = sum(shares[name] * falls[name] for name in losses)
        self._logits.step({name: shares[name] * (falls[name] - mean) for name in losses})
        self._losses |= {name: loss + SMALLEST for name, loss in after.items()}

    def state(self) -> dict[str, Tensor]:
        """See [`Method`]."""
        return self._logits.state() | to_state("loss", self._losses)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See [`Method`]."""
        self._logits.load(state)
        self._losses = from_state("loss", state)

    def _shares(self, names: Sequence[str]) -> dict[str, float]:
        """The softmax over these tasks."""
        logits = self._logits.values()
        powers = {name: math.exp(logits[name]) for name in names}
        return {name: power / sum(powers.values()) for name, power in powers.items()}
