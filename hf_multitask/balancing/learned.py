"""One number per task, learned by Adam from gradients that need no graph."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class LearnedNumbers:
    """Numbers by task. A step leaves a task without a gradient alone, as its head is left alone.

    Args:
        names: The tasks.
        start: Each number at first.
        learning_rate: Of Adam, constant.
        weight_decay: Of Adam, as in its first form: added to the gradient.
    """

    def __init__(self, names: Sequence[str], start: float, learning_rate: float, weight_decay: float = 0.0) -> None:
        self._numbers = {name: nn.Parameter(torch.tensor(start, dtype=torch.float64)) for name in names}
        self._adam = torch.optim.Adam(self._numbers.values(), lr=learning_rate, weight_decay=weight_decay)

    def values(self) -> dict[str, float]:
        """The numbers."""
        return {name: number.item() for name, number in self._numbers.items()}

    def step(self, gradients: Mapping[str, float]) -> None:
        """Descend once along `gradients`."""
        for name, number in self._numbers.items():
            number.grad = torch.tensor(gradients[name], dtype=torch.float64) if name in gradients else None
        self._adam.step()

    def set(self, values: Mapping[str, float]) -> None:
        """Replace the numbers, and keep what Adam remembers."""
        with torch.no_grad():
            for name, value in values.items():
                self._numbers[name].fill_(value)

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs, by names that say what they are."""
        tensors = to_state("number", self.values())
        for name, number in self._numbers.items():
            tensors |= {f"{key}/{name}": value.clone() for key, value in self._adam.state[number].items()}
        return tensors

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.set(from_state("number", state))
        for name, number in self._numbers.items():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in state]
            self._adam.state[number] = {key: state[f"{key}/{name}"].clone() for key in keys}


def to_state(key: str, numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """Numbers by task as tensors by `<key>/<task>`."""
    return {f"{key}/{name}": torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}


def from_state(key: str, state: Mapping[str, Tensor]) -> dict[str, float]:
    """The numbers that `to_state` stored under `key`."""
    parts = ((name.partition("/"), value) for name, value in state.items())
    return {task: value.item() for (head, _, task), value in parts if head == key}
