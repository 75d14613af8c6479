"""How much of an epoch each dataset gets."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from huggingface_hub.dataclasses import strict

from .construction import build
from .keys import check_keys

STRATEGIES: dict[str, tuple[str, ...]] = {
    "proportional": (),
    "temperature": ("temperature", "size_cap"),
    "uniform": (),
    "weights": ("weights",),
    "annealed": ("temperature", "size_cap"),
}
"""Strategy -> the settings it reads."""


@strict
@dataclass(kw_only=True)
class MixingSettings:
    """How several datasets share an epoch, which draws as many rows as all of them have together.

    | strategy       | share of dataset i, of n_i rows                                          |
    |----------------|--------------------------------------------------------------------------|
    | `proportional` | n_i: every row is drawn exactly once                                     |
    | `temperature`  | min(n_i, size_cap) ** (1 / temperature)                                  |
    | `uniform`      | 1                                                                        |
    | `weights`      | weights[i]                                                               |
    | `annealed`     | as `temperature`, which goes from the first of two to the second in a run |

    Args:
        strategy: One of these.
        temperature: 1 is `proportional`, more is nearer to `uniform`; `[from, to]` for `annealed`.
        size_cap: Rows that a dataset counts for at most; it may be left out.
        weights: Of every dataset; one of weight 0 is not drawn from.
    """

    strategy: str = "proportional"
    temperature: float | int | list[float | int] | None = None
    size_cap: int | None = None
    weights: dict[str, float | int] | None = None

    def check(self, datasets: Collection[str]) -> None:
        """Raise unless the settings are of one strategy, and fit the names of the `datasets`.

        Raises:
            ValueError: They contradict each other, or a number makes no sense.
        """
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"mixing.strategy must be one of {list(STRATEGIES)}, found {self.strategy!r}. Choose one of these."
            )
        for name in ("temperature", "size_cap", "weights"):
            readers = [strategy for strategy, read in STRATEGIES.items() if name in read]
            if getattr(self, name) is not None and self.strategy not in readers:
                raise ValueError(
                    f"mixing.{name} must be left out unless the strategy is one of {readers}, found it with "
                    f"{self.strategy!r}. Remove it, or write strategy: {readers[0]}."
                )
        if "temperature" in STRATEGIES[self.strategy]:
            self._check_temperature()
        if self.size_cap is not None and self.size_cap < 1:
            raise ValueError(f"mixing.size_cap must be at least 1 row, found {self.size_cap}. Leave it out for no cap.")
        if self.strategy == "weights":
            self._check_weights(datasets)

    def among(self, datasets: Collection[str]) -> "MixingSettings":
        """The settings for some of the `datasets`: those that have training rows."""
        if self.weights is None:
            return self
        return replace(self, weights={name: weight for name, weight in self.weights.items() if name in datasets})

    def _check_temperature(self) -> None:
        annealed = self.strategy == "annealed"
        values: list[Any] = self.temperature if isinstance(self.temperature, list) else [self.temperature]
        if self.temperature is None or annealed != isinstance(self.temperature, list) or len(values) != 1 + annealed:
            wanted, example = ("two numbers, [from, to],", "[1, 5]") if annealed else ("one number", "2")
            raise ValueError(
                f"mixing.temperature must be {wanted} for the strategy {self.strategy!r}, found {self.temperature!r}. "
                f"Write temperature: {example}, for instance."
            )
        if not all(_is_finite(value) and value > 0 for value in values):
            raise ValueError(
                f"mixing.temperature must be finite and above 0, found {self.temperature!r}. Write 1 for shares in "
                "proportion to the rows; strategy: uniform is the limit of high temperatures."
            )

    def _check_weights(self, datasets: Collection[str]) -> None:
        weights = self.weights or {}
        check_keys(weights, datasets, "mixing.weights")
        missing = [name for name in datasets if name not in weights]
        if missing:
            raise ValueError(
                f"mixing.weights must have a weight for every dataset, found none for {missing}. Add them; 0 leaves a "
                "dataset out."
            )
        for name, weight in weights.items():
            if not _is_finite(weight) or weight < 0:
                raise ValueError(
                    f"mixing.weights.{name} must be a finite number >= 0, found {weight!r}. Write 0 to leave the "
                    "dataset out."
                )
        if not any(weights.values()):
            raise ValueError("mixing.weights must have one above 0, found only zeros. Raise one.")


def parse_mixing(value: Any, datasets: Collection[str]) -> MixingSettings:
    """The checked settings that a configuration's `mixing` describes: a strategy's name, or a mapping.

    Args:
        value: What stands there.
        datasets: The names of all datasets.

    Raises:
        ValueError: A key is unknown, a value is of the wrong type, or the settings contradict each other.
    """
    values = {"strategy": value} if isinstance(value, str) else value
    if isinstance(values, Mapping):
        values = {key: item for key, item in values.items() if item is not None}  # `size_cap:` with nothing after it
    settings = build(MixingSettings, values, "mixing")
    settings.check(datasets)
    return settings


def _is_finite(value: Any) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)
