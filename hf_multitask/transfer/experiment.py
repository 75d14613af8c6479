"""Which models a comparison trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Experiment:
    """A model to train.

    Args:
        tasks: Names of its tasks, in the order of the shared model.
        seed: What it adds to the seed of the shared run, from 0.
    """

    tasks: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return " + ".join(self.tasks)


def experiments(tasks: Sequence[str], compared: Sequence[str], seeds: int, pairs: bool) -> list[Experiment]:
    """All models but the shared one of the first seed, which is there; a seed is finished before the next one begins.

    Args:
        tasks: Names of all the shared model's tasks.
        compared: Those that are compared.
        seeds: Number of seeds.
        pairs: Whether a model of each two tasks is trained too.
    """
    found = []
    for seed in range(seeds):
        groups: list[tuple[str, ...]] = [(name,) for name in compared]
        groups += combinations(compared, 2) if pairs else []
        groups += [tuple(tasks)] if seed else []
        found += [Experiment(group, seed) for group in dict.fromkeys(groups) if seed or group != tuple(tasks)]
    return found
