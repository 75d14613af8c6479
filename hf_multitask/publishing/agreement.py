"""How far the tasks' gradients agreed over a run, from the cosines in its log."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from .run_record import RunRecord


@dataclass(frozen=True)
class Agreement:
    """The cosines between the gradients of two tasks.

    Args:
        first: A task.
        second: The other one.
        steps: The n steps at which they were measured.
        cosines: At each of them.
        comparisons: How many such intervals are read together.
        group: The parameters that the gradients are of; empty for what the whole encoder stands on, its embeddings.
    """

    first: str
    second: str
    steps: Sequence[int]
    cosines: Sequence[float]
    comparisons: int = 1
    group: str = ""

    @property
    def tasks(self) -> tuple[str, str]:
        """Both."""
        return self.first, self.second

    @cached_property
    def mean(self) -> float:
        """Over the steps."""
        return fmean(self.cosines)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        r"""Of the mean, so that all c `comparisons` together are right with 95 % (Bonferroni), `None` for one step.

        $$ \bar x \pm t_{n-1,\, 1 - 0.025 / c} \; s / \sqrt n, $$

        with the standard deviation s over the steps, as if they were independent.
        """
        count = len(self.cosines)
        if count < 2:
            return None
        quantile = float(stats.t.ppf(1 - 0.025 / self.comparisons, count - 1))
        half = quantile * stdev(self.cosines) / math.sqrt(count)
        return self.mean - half, self.mean + half

    @property
    def is_conflict(self) -> bool:
        """Whether the interval of the mean lies below 0."""
        return self.interval is not None and self.interval[1] < 0

    @property
    def share_below(self) -> float:
        """The share of the steps with a cosine below 0."""
        return sum(cosine < 0 for cosine in self.cosines) / len(self.cosines)

    @property
    def last_quarter(self) -> float:
        """The mean over the last quarter of the steps."""
        return fmean(self.cosines[-math.ceil(len(self.cosines) / 4) :])


def agreements(record: RunRecord) -> list[Agreement]:
    """Every pair of tasks that was measured, the one that disagrees most first."""
    found = [(*pair, *_points(record.log_history, key)) for pair, key in _keys(record).items()]
    found = [measured for measured in found if measured[2]]
    return sorted((Agreement(*measured, len(found)) for measured in found), key=lambda pair: pair.mean)


def agreements_by_depth(record: RunRecord) -> dict[str, list[Agreement]]:
    """Per group of the encoder's parameters, from the bottom, every pair that was measured there."""
    keys = _keys(record)
    logged = {key: None for line in record.log_history for key in line if key.startswith("conflict/")}
    found = [
        (*pair, *_points(record.log_history, name), name.removeprefix(f"{key}/"))
        for pair, key in keys.items()
        for name in logged
        if name.startswith(f"{key}/") and name not in keys.values()
    ]
    found = [measured for measured in found if measured[2]]
    groups: dict[str, list[Agreement]] = {group: [] for group in sorted({m[4] for m in found}, key=depth_of)}
    for first, second, steps, cosines, group in found:
        groups[group].append(Agreement(first, second, steps, cosines, len(found), group))
    return groups


def depth_of(group: str) -> float:
    """Where a group of the encoder's parameters is, from the bottom."""
    layer = re.fullmatch(r"layers\.(\d+)", group)
    return int(layer[1]) if layer else {"embeddings": -1.0}.get(group, math.inf)


def _keys(record: RunRecord) -> dict[tuple[str, str], str]:
    """Per pair of tasks, what its cosines are logged as."""
    return {(a, b): f"conflict/{a}|{b}" for a, b in combinations([task.name for task in record.tasks], 2)}


def _points(log: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    found = dict(_finite(log, key))
    return list(found), list(found.values())


def _finite(log: Sequence[Mapping[str, Any]], key: str) -> Iterator[tuple[int, float]]:
    for line in log:
        if "step" in line and math.isfinite(line.get(key, math.nan)):
            yield line["step"], float(line[key])
