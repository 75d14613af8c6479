"""Balancing by the inner products of the tasks' gradients."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .fan_out import gramian

Weigh = Callable[[Tensor], Tensor]
"""From a Gramian to factors; see [`weightings`]."""


class GramianMethod:
    """Factors from the Gramian of the virtual layer's gradients, a new one in every backward pass.

    What these methods were made for is the gradient of all shared parameters; the virtual layer's stands for it as one
    layer of the encoder would, see [`FanOut`]. It is that of a micro-batch, in all processes: with accumulation each
    micro-batch has its own factors.

    A task whose gradient is zero takes no part, and a scale common to all gradients changes nothing. Where a gradient
    is not finite all factors are 1, and what then happens is what happens without balancing.

    Args:
        weigh: From the Gramian to the factors.
        seed: Of what `weigh` draws: the draws depend on it and on the number of calls alone, so that all processes draw
            alike, and training's own random numbers stay as they are.
    """

    def __init__(self, weigh: Weigh, seed: int) -> None:
        self._weigh = weigh
        self._seed = seed
        self._calls = 0

    def factors(self, names: Sequence[str], virtual_TDD: Tensor) -> list[float]:
        """The factor of each task's gradient."""
        self._calls += 1
        factors_T = torch.ones(len(names), dtype=torch.float64)
        # In units of the largest value: squares of mixed precision's scaled gradients could overflow.
        # Twice as precise as the gradients, so that rounding makes no Gramian of dependent gradients indefinite.
        gramian_TT = gramian((virtual_TDD / virtual_TDD.abs().amax()).cpu().double())
        norms_T = gramian_TT.diagonal()
        if not gramian_TT.isfinite().all():
            return factors_T.tolist()
        active = norms_T > 0
        if active.sum() > 1:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(  # not torch.manual_seed, which seeds every GPU
                    (self._seed * 1_000_003 + self._calls) % 2**63
                )
                factors_T[active] = self._weigh(gramian_TT[active][:, active] / norms_T[active].mean()).double()
        return factors_T.tolist()

    def update(self, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Nothing."""

    def state(self) -> dict[str, Tensor]:
        """See [`Method`]."""
        return {"calls": torch.tensor(self._calls)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See [`Method`]."""
        self._calls = int(state["calls"])
