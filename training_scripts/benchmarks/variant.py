"""One thing to measure, and what was found of it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Reading = dict[str, float]
"""What one sample found: `cost` (seconds unless said otherwise; less is better), and anything else by name."""


class Skip(Exception):  # noqa: N818  # no error: a row that cannot be here, and why
    """A variant cannot be measured here; the message says why."""


@dataclass
class Variant:
    """One thing to measure.

    Args:
        name: Its row in the table.
        run: Does the work on what `prepare` made. It returns what else it found, and `cost` where that is not the time
            that the call took.
        prepare: Makes what `run` works on; not timed.
        amount: What one sample processes, in the table's unit: tokens, rows, steps.
        tokens: Real tokens that one sample processes, for the share of the machine's ceiling; 0 for unknown.
        texts: What it reads, where that is not what the others do: a token costs more the longer they are.
        precision: Whose ceiling is the limit: "fp32" or "bf16".
        ours: Whether it is ours and not a peer.
        inspect: Finds `facts` in what `run` has worked on, once.
        facts: What else is known of it, by column.
    """

    name: str
    run: Callable[[Any], Mapping[str, float] | None]
    prepare: Callable[[], Any] = lambda: None
    amount: float = 1.0
    tokens: float = 0.0
    texts: Sequence[str] = ()
    precision: str = "fp32"
    ours: bool = False
    inspect: Callable[[Any], Mapping[str, float]] | None = None
    facts: dict[str, float] = field(default_factory=dict)


@dataclass
class Samples:
    """What was found of a variant.

    Args:
        kept: By round, the samples during which the machine was ours.
        spoiled: The samples that others disturbed.
        left_changed: Settings of the whole process that the variant left changed.
    """

    kept: dict[int, Reading] = field(default_factory=dict)
    spoiled: list[Reading] = field(default_factory=list)
    left_changed: set[str] = field(default_factory=set)

    @property
    def readings(self) -> list[Reading]:
        """Those that count: the kept ones, or, where there are none, all."""
        return list(self.kept.values()) or self.spoiled

    def median(self, name: str = "cost") -> float:
        """The middle one of the values called `name`."""
        return statistics.median(reading[name] for reading in self.readings)

    def spread(self, name: str = "cost") -> tuple[float, float]:
        """The least and the greatest of the values called `name`."""
        values = [reading[name] for reading in self.readings]
        return min(values), max(values)
