"""What was measured, as a table that says how, and whether each bar is met."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .variant import Samples, Variant


@dataclass(frozen=True)
class Bar:
    """What a comparison must reach.

    Its value is, from the two medians, by `kind`: "speed-up" `against / variant`, at least the bars; "cost"
    `variant / against`, at most; "overhead" 1000 times the variant's own for one unit of the amount, at most: what it
    adds, in ms, to another that took turns with it.

    Args:
        what: What it claims.
        variant: Name of the variant that is judged.
        against: Name of another that does the same work; of an overhead, in words, what it is added to.
        at_least: Where the claim begins.
        moonshot: What would be great.
        kind: How the two are compared.
    """

    what: str
    variant: str
    against: str
    at_least: float
    moonshot: float
    kind: str = "speed-up"

    def compare(self, variant: float, against: float) -> float:
        """The value, from the costs of one unit of the amount."""
        if self.kind == "overhead":
            return 1000 * variant
        return against / variant if self.kind == "speed-up" else variant / against

    def met(self, value: float | None) -> str:
        """In a word, how `value` stands to the bars."""
        if value is None:
            return "not measured"
        sign = 1 if self.kind == "speed-up" else -1
        if sign * value >= sign * self.moonshot:
            return "moonshot"
        return "yes" if sign * value >= sign * self.at_least else "no"


@dataclass
class Table:
    """One benchmark's results.

    Args:
        name: Of the benchmark.
        title: What is measured.
        unit: What the numbers are.
        variants: What was measured, in the order of the rows.
        samples: By variant, what was found.
        skipped: By variant that could not be measured, why.
        bars: What must be reached.
        conditions: What holds for all rows: batch, tokens of a step, dropout.
        scale: A rate, `amount / cost`, where it is `None`; else a cost, `scale * cost / amount`.
        same_work: Whether bars compare whole samples, which do the same work, rather than units of the amount.
        notes: Sentences to read with it.
    """

    name: str
    title: str
    unit: str
    variants: Sequence[Variant]
    samples: dict[str, Samples]
    skipped: dict[str, str]
    bars: Sequence[Bar] = ()
    conditions: dict[str, Any] = field(default_factory=dict)
    scale: float | None = None
    same_work: bool = True
    notes: Sequence[str] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Per variant measured, its median, least and greatest value, its facts and its counts of samples."""
        rows = []
        for variant in self.variants:
            samples = self.samples.get(variant.name)
            if samples is None:
                continue
            ends = sorted(self._value(variant, cost) for cost in samples.spread())
            further = {name: samples.median(name) for name in samples.readings[0] if name != "cost"}
            rows.append(
                {"variant": variant.name, "ours": variant.ours, "median": self._value(variant, samples.median())}
                | {"least": ends[0], "greatest": ends[1]}
                | {"kept": len(samples.kept), "discarded": len(samples.spoiled), "crowded": not samples.kept}
                | {"left_changed": sorted(samples.left_changed), "facts": variant.facts | further}
                | {"cost_median": samples.median(), "costs": [reading["cost"] for reading in samples.readings]}
            )
        return rows

    def judged(self) -> list[dict[str, Any]]:
        """Per bar, its value, the least and greatest of single rounds, and whether it is met."""
        judged = []
        for bar in self.bars:
            against = bar.variant if bar.kind == "overhead" else bar.against
            samples, others = self.samples.get(bar.variant), self.samples.get(against)
            value = ends = None
            if samples and others:
                unit, others_unit = self._unit(bar.variant, bar), self._unit(against, bar)
                value = bar.compare(samples.median() / unit, others.median() / others_unit)
                rounds = sorted(samples.kept.keys() & others.kept.keys())
                pairs = [(samples.kept[n]["cost"] / unit, others.kept[n]["cost"] / others_unit) for n in rounds]
                values = [bar.compare(*pair) for pair in pairs] or [value]
                ends = min(values), max(values)
            judged.append(
                {"bar": bar.what, "variant": bar.variant, "against": bar.against, "kind": bar.kind, "value": value}
                | {"least": ends and ends[0], "greatest": ends and ends[1]}
                | {"at_least": bar.at_least, "moonshot": bar.moonshot, "met": bar.met(value)}
            )
        return judged

    def spread(self) -> float:
        """How far the rows' samples lie apart: the middle of (greatest - least) / median."""
        widths = [(row["greatest"] - row["least"]) / abs(row["median"]) for row in self.rows() if row["median"]]
        return statistics.median(widths) if widths else 0.0

    def _value(self, variant: Variant, cost: float) -> float:
        return variant.amount / cost if self.scale is None else self.scale * cost / variant.amount

    def _unit(self, name: str, bar: Bar) -> float:
        if self.same_work and bar.kind != "overhead":
            return 1.0
        return next(variant.amount for variant in self.variants if variant.name == name)
