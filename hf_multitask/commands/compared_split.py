"""The split that a run's model and models of single tasks are compared on."""

from collections.abc import Mapping
from typing import Any

from ..training.trainer import MultiTaskTrainer
from ..transfer.checks import check_models

COMPARED = ("test", "validation")
"""Splits that models are compared on: the first that there is."""


def compared_split(evaluated: Mapping[str, Any]) -> str:
    """The split that models are compared on, of those with rows, `evaluated`."""
    return next(name for name in COMPARED if name in evaluated)


def check_comparison(trainer: MultiTaskTrainer, evaluated: Mapping[str, Any]) -> None:
    """Raise unless the run's model can be compared, before it is trained.

    Args:
        trainer: That of the run.
        evaluated: The rows of each split that is scored.

    Raises:
        ValueError: There is no such split, a task has no target where it needs one, or other models cannot be trained
            by the same rules.
    """
    if not evaluated:
        raise ValueError(
            "compare_single_task needs a test or validation split to score the models on, found none. Add one "
            "(test: 0.1 cuts it from the training rows), or remove compare_single_task."
        )
    split = compared_split(evaluated)
    check_models(trainer, evaluated[split], split)
