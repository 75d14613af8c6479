"""One number for all tasks, and which way each number is good."""

import math
from collections.abc import Iterable, Mapping

from ..modeling.task import Task
from .metric import Metric
from .registry import metrics_of, primary_of

PREFIXES = ("", "eval_", "test_", "train_")
"""What the Trainer writes before a key."""


def shared_direction(tasks: Iterable[Task]) -> bool | None:
    """Whether higher is better of the primary metrics of all tasks with a weight; `None` where they differ."""
    directions = {primary_of(task).higher_is_better for task in tasks if task.loss_weight}
    return directions.pop() if len(directions) == 1 else None


def overall_scores(tasks: Iterable[Task], primaries: Mapping[str, float]) -> dict[str, float]:
    r"""`average`, $\sum_t w_t m_t / \sum_t w_t$, and `worst` of the primary metrics $m_t$.

    Over the tasks that were scored, weighted by their `loss_weight`; a task of weight 0 is in neither. There are none
    where higher is better for some tasks and lower for others. NaN where one of the metrics is.

    Args:
        tasks: The model's tasks.
        primaries: Per task that was scored, its primary metric.
    """
    tasks = list(tasks)
    higher = shared_direction(tasks)
    scored = [(task.loss_weight, primaries[task.name]) for task in tasks if task.loss_weight and task.name in primaries]
    if higher is None or not scored:
        return {}
    average = sum(weight * score for weight, score in scored) / sum(weight for weight, _ in scored)
    scores = [score for _, score in scored]
    worst = min(scores) if higher else max(scores)
    return {"average": average, "worst": average if math.isnan(average) else worst}


def direction(tasks: Iterable[Task], key: str) -> bool:
    """Whether higher is better for a key of the evaluation's results, such as `eval_topic_f1_macro` or `eval_worst`.

    Raises:
        ValueError: There is no such key, or its direction is not known.
    """
    tasks = list(tasks)
    known: dict[str, bool] = {"loss": False} | {f"{task.name}_loss": False for task in tasks}
    undirected = []
    for task in tasks:
        for metric in metrics_of(task):
            if isinstance(metric, Metric):
                known[f"{task.name}_{metric.name}"] = metric.higher_is_better
            else:
                undirected.append(f"{task.name}_{metric.name}")
    shared = shared_direction(tasks)
    if shared is not None:
        known |= {"average": shared, "worst": shared}
    else:
        undirected += ["average", "worst"]
    for prefix in PREFIXES:
        name = key.removeprefix(prefix)
        if key.startswith(prefix) and name in known:
            return known[name]
        if key.startswith(prefix) and name in undirected:
            mixed = {task.name: primary_of(task).name for task in tasks if task.loss_weight}
            why = f"the primary metrics {mixed} have different ones" if name in ("average", "worst") else "evaluate's"
            raise ValueError(
                f"The metric to choose by must have one direction, found {key!r}, whose is unknown ({why}). Choose one "
                f"of {sorted(known)}."
            )
    raise ValueError(
        f"The metric to choose by must be one of {sorted(known)}, found {key!r}. Choose one, or add it to its task's "
        "metrics."
    )
