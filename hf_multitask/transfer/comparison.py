"""From what models answered to what each task gained or lost."""

from collections.abc import Mapping, Sequence
from statistics import median

from ..evaluation.answers import Answers
from ..evaluation.metric import Metric
from ..evaluation.paired_bootstrap import first_minus_second, mean_difference, paired_interval
from ..evaluation.registry import primary_of
from ..modeling.task import Task
from ..publishing.transfer_record import GAINED, LOST, OPEN, Costs, Difference, TaskTransfer, gain_of
from .budget import Budget
from .experiment import Experiment
from .outcome import Outcome

Outcomes = Mapping[Experiment, Outcome]


def compare_task(
    task: Task, tasks: Sequence[str], partners: Sequence[str], seeds: int, outcomes: Outcomes, budget: Budget
) -> TaskTransfer:
    """How a task fared in the shared model, and beside each of its `partners`, against a model of its own.

    Args:
        task: The task, as it is before calibration.
        tasks: Names of all the shared model's tasks.
        partners: Names of other tasks that it was trained with in pairs.
        seeds: Number of seeds.
        outcomes: Of all models.
        budget: What the shared run spent.
    """
    metric = primary_of(task)

    def answers(names: Sequence[str]) -> list[Answers]:
        ordered = tuple(name for name in tasks if name in names)
        return [outcomes[Experiment(ordered, seed)].answers(task) for seed in range(seeds)]

    single, shared = answers([task.name]), answers(tasks)
    made = outcomes[Experiment(tuple(tasks), 0)].numbers.steps
    return TaskTransfer(
        task=task.name,
        metric=metric.name,
        title=metric.title,
        higher_is_better=metric.higher_is_better,
        shared=[metric.score(found) for found in shared],
        single=[metric.score(found) for found in single],
        difference=difference(metric, shared, single),
        rows=single[0].row_count,
        examples=sum(budget.examples([task.name], made).values()),
        examples_single=outcomes[Experiment((task.name,), 0)].numbers.examples,
        beside={partner: difference(metric, answers([task.name, partner]), single) for partner in partners},
    )


def difference(metric: Metric, shared: Sequence[Answers], single: Sequence[Answers]) -> Difference:
    """Shared minus single, with what its interval says.

    Args:
        metric: By what both are judged.
        shared: Per seed, the answers of a model with further tasks.
        single: Per seed, those of a model without.
    """
    pairs = list(zip(shared, single, strict=True))
    interval = paired_interval(metric, pairs)
    mean = mean_difference(metric, pairs)
    return Difference(
        mean=mean,
        interval=interval,
        verdict=verdict(interval, metric.higher_is_better),
        gain=gain_of(mean, [metric.score(found) for found in single], metric.higher_is_better),
        by_seed=[first_minus_second(metric, *pair) for pair in pairs],
    )


def verdict(interval: tuple[float, float] | None, higher_is_better: bool) -> str:
    """What an interval of a difference says: gained where all of it is better than 0, lost where all is worse."""
    if interval is None:
        return OPEN
    low, high = interval if higher_is_better else (-interval[1], -interval[0])
    return GAINED if low > 0 else LOST if high < 0 else OPEN


def costs_of(groups: Sequence[Sequence[str]], seeds: int, outcomes: Outcomes, texts: int) -> Costs:
    """What models cost that answer all tasks together: of each model the median over the seeds.

    Args:
        groups: The tasks of each model.
        seeds: Number of seeds.
        outcomes: Of all models.
        texts: The number of texts that the time to answer is of.
    """
    numbers = [[outcomes[Experiment(tuple(group), seed)].numbers for seed in range(seeds)] for group in groups]
    # Of a shared model that no clock has watched, the time is not known.
    known = [[one.training for one in of_group if one.training is not None] for of_group in numbers]
    return Costs(
        models=len(groups),
        training=sum(median(times) for times in known) if all(known) else None,
        answering=sum(median(one.answering for one in of_group) for of_group in numbers),
        texts=texts,
        parameters=sum(of_group[0].parameters for of_group in numbers),
        size=sum(of_group[0].size for of_group in numbers),
    )
