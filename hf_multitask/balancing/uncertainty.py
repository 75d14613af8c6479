"""Balancing by learned uncertainties."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from .learned import LearnedNumbers


class Uncertainty:
    r"""The factor of each loss is $e^{-s_t}$, and $s_t$, the log of a variance, learns with the model:

    $$ \min_{\theta, s} \sum_t e^{-s_t} \ell_t + \tfrac{1}{2} s_t, \qquad
       \frac{\partial}{\partial s_t} = \tfrac{1}{2} - e^{-s_t} \ell_t. $$

    (Kendall, Gal and Cipolla 2018.) It is their form for classification, used for all kinds: the one for regression,
    $\frac{1}{2} e^{-s} \ell + \frac{1}{2} s$, is the same with $s$ shifted by $\log 2$, so that only the start differs,
    which is that of the plain sum here. Adam learns $s_t$ at a constant rate from the loss of the whole effective
    batch; a task without labels there is left alone.

    Args:
        names: The tasks.
        learning_rate: Of $s$.
    """

    measures_after = False

    def __init__(self, names: Sequence[str], learning_rate: float) -> None:
        self._log_variances = LearnedNumbers(names, 0.0, learning_rate)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing."""

    def factors(self, names: Sequence[str]) -> dict[str, float]:
        """$e^{-s}$ of each task."""
        values = self._log_variances.values()
        return {name: math.exp(-values[name]) for name in names}

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """One step of Adam."""
        factors = self.factors(list(losses))
        self._log_variances.step({name: 0.5 - factors[name] * loss for name, loss in losses.items()})

    def state(self) -> dict[str, Tensor]:
        """See [`Method`]."""
        return self._log_variances.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See [`Method`]."""
        self._log_variances.load(state)
