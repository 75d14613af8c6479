"""Whether sharing one encoder helped, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

GAINED, LOST, OPEN = "gained", "lost", "not told apart"
"""What an interval says: all of it on the better side of 0, all of it on the worse side, or neither."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of one task, a model that is shared minus one that is its own.

    Args:
        mean: Over the seeds, in units of the metric.
        interval: The 95 % interval of the mean, `None` where a model's outputs are no numbers.
        verdict: `GAINED`, `LOST` or `OPEN`.
        gain: The mean as [`gain_of`] tells it.
        by_seed: Per seed, the difference.
    """

    mean: float
    interval: tuple[float, float] | None
    verdict: str
    gain: float
    by_seed: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class TaskTransfer:
    """How one task fared.

    Args:
        task: Its name.
        metric: Name of its primary metric.
        title: How that is written.
        higher_is_better: Its direction.
        shared: Per seed, the score of the model of all tasks.
        single: Per seed, the score of the model of this task alone.
        difference: Shared minus single.
        rows: Number of scored rows.
        examples: How many examples of the task the shared model of the first seed saw in training.
        examples_single: How many the model of this task alone saw, of that seed.
        beside: Per other task, what a model of the two gave, minus the model of this task alone; empty where no pairs
            were trained.
    """

    task: str
    metric: str
    title: str
    higher_is_better: bool
    shared: Sequence[float]
    single: Sequence[float]
    difference: Difference
    rows: int
    examples: int
    examples_single: int
    beside: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one shared model costs, or all single-task models together.

    Args:
        models: How many models.
        training: Seconds of all optimizer steps, without evaluations and checkpoints, the median over the
            seeds; `None` where they were not measured.
        answering: Seconds to answer all tasks of `texts`, the median over the seeds.
        texts: So many texts, or pairs, of the scored split.
        parameters: Number of parameters.
        size: Bytes of the weights.
    """

    models: int
    training: float | None
    answering: float
    texts: int
    parameters: int
    size: int


@dataclass(frozen=True, kw_only=True)
class TransferRecord:
    """Whether sharing one encoder helped.

    Args:
        tasks: The compared tasks.
        seeds: The seeds, for each of which every model was trained.
        split: The scored split, test or validation.
        shared: Costs of the one model of all tasks.
        single: Costs of a model for each task.
        groups: Tasks to train together, as far as pairs tell; empty where no pairs were trained, or the outputs of a
            model are no numbers.
        groups_gain: The estimated mean gain of these groups, in units of [`gain_of`].
        groups_exact: Whether all partitions were compared.
        stopped_early: Whether runs could end, or their best checkpoint be chosen, by the validation split.
    """

    tasks: Sequence[TaskTransfer]
    seeds: Sequence[int]
    split: str
    shared: Costs
    single: Costs
    groups: Sequence[Sequence[str]] = ()
    groups_gain: float = 0.0
    groups_exact: bool = True
    stopped_early: bool = False


def gain_of(difference: float, single: Sequence[float], higher_is_better: bool) -> float:
    """What a difference is worth beside those of other metrics, better above 0; NaN where it is no number.

    Of a score, where higher is better, it is the difference itself: 0.01 is a point. A share of it would say nothing
    where the score can be 0, as a correlation can. Of an error, whose unit may be any, it is the share of the error
    that is saved: 0.01 is a percent.

    Args:
        difference: Shared minus single.
        single: Per seed, the score, or error, of the single-task model.
        higher_is_better: The direction of the metric.
    """
    return difference if higher_is_better else -difference / (abs(fmean(single)) or 1.0)
