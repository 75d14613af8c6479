"""Which tasks to train together, as far as pairs of them tell.

Letters of the shapes: T tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

MOST_EXACT = 8
"""Of so many tasks all partitions are looked at: 4140 of 8 tasks, and 21147 of 9."""


@dataclass(frozen=True)
class Grouping:
    """A proposal, which nothing was trained for.

    Args:
        groups: The tasks of each model, in the order of the tasks.
        gain: The estimated mean gain over all tasks.
        is_exact: Whether no partition has a higher one, by the same estimate.
    """

    groups: tuple[tuple[str, ...], ...]
    gain: float
    is_exact: bool


def group_tasks(gains: Mapping[str, Mapping[str, float]]) -> Grouping:
    r"""The partition of the tasks into groups of the highest estimated mean gain.

    A task gains in its group what it gains beside its partners one by one, on average (Standley et al. 2020), and
    nothing alone:

    $$ \hat g(P) = \frac{1}{T} \sum_{G \in P} \sum_{a \in G} \frac{1}{\max(|G| - 1, 1)}
       \sum_{b \in G,\, b \ne a} g_{ab}. $$

    Up to eight tasks all partitions are compared; of equally good ones the one of the fewest groups is taken, which
    costs least in use. Of more tasks, groups are joined by average linkage of the mean of $g_{ab}$ and $g_{ba}$, the
    best first, as long as that is above 0: a good partition, not always the best.

    A triple may do otherwise than its pairs: train the groups before you rely on them.

    Args:
        gains: $g_{ab}$, what task a gains where it is trained together with task b, by a and then b: better is above
            0, and those of all tasks can be added up, such as the gains of [`Difference`].

    Raises:
        ValueError: There is no task, or the gain of a pair is missing or no finite number.
    """
    gains_TT = _matrix(gains)
    tasks = list(gains)
    exact = len(tasks) <= MOST_EXACT
    if exact:
        # The first of equals: fewest groups, then as the tasks are ordered.
        partitions = sorted(_partitions(len(tasks)), key=len)
        found = max(partitions, key=lambda partition: round(_gain(gains_TT, partition), 12))
    else:
        found = _linked(gains_TT)
    groups = tuple(tuple(tasks[index] for index in group) for group in found)
    return Grouping(groups, _gain(gains_TT, found), exact)


def _matrix(gains: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
    if not gains:
        raise ValueError("There must be tasks to group, found none. Pass {task: {other task: gain}}.")
    for task in gains:
        missing = [other for other in gains if other != task and other not in gains[task]]
        if missing:
            raise ValueError(
                f"There must be a gain for every pair of tasks, found none of {task!r} beside {missing}. Train these "
                "pairs, or leave the task out."
            )
    rows = [[0.0 if a == b else float(gains[a][b]) for b in gains] for a in gains]
    gains_TT = np.array(rows, dtype=np.float64)
    if not np.isfinite(gains_TT).all():
        row, column = np.argwhere(~np.isfinite(gains_TT))[0]
        names = list(gains)
        raise ValueError(
            f"Gains must be finite numbers, found {gains_TT[row, column]} of {names[row]!r} beside {names[column]!r}. "
            "Leave the task out."
        )
    return gains_TT


def _gain(gains_TT: NDArray[np.float64], partition: Sequence[Sequence[int]]) -> float:
    total = sum(gains_TT[np.ix_(group, group)].sum() / max(len(group) - 1, 1) for group in partition)
    return float(total) / len(gains_TT)


def _partitions(count: int) -> Iterator[list[list[int]]]:
    """All partitions of `range(count)`, groups and their members in ascending order."""
    if count == 0:
        yield []
        return
    for partition in _partitions(count - 1):
        for place, group in enumerate(partition):
            yield [*partition[:place], [*group, count - 1], *partition[place + 1 :]]
        yield [*partition, [count - 1]]


def _linked(gains_TT: NDArray[np.float64]) -> list[list[int]]:
    """Groups by average linkage, joined while the mean gain between two of them is above 0."""
    mutual_TT = (gains_TT + gains_TT.T) / 2
    highest = mutual_TT[~np.eye(len(gains_TT), dtype=bool)].max()
    if highest <= 0:
        return [[index] for index in range(len(gains_TT))]
    distances_TT = highest - mutual_TT
    np.fill_diagonal(distances_TT, 0.0)
    tree = linkage(squareform(distances_TT, checks=False), method="average")
    numbers_T = fcluster(tree, np.nextafter(highest, 0.0), criterion="distance")
    groups = [np.flatnonzero(numbers_T == number).tolist() for number in np.unique(numbers_T)]
    return sorted(groups)
