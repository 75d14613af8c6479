"""What the best checkpoint is chosen by, and which way that is good."""

from collections.abc import Collection, Sequence
from typing import Any

from transformers.trainer_utils import IntervalStrategy

from ..evaluation.metrics import MultiTaskMetrics
from ..evaluation.overall import direction
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments


def settle_best_metric(
    tasks: Sequence[Task], args: MultiTaskTrainingArguments, eval_dataset: Any, compute_metrics: Any
) -> None:
    """Settle in `args` what the user has left open of `metric_for_best_model` and `greater_is_better`.

    Args:
        tasks: The model's tasks.
        args: Of the run.
        eval_dataset: Its evaluation rows, or several by name: then the metric is one of one of these.
        compute_metrics: Its own, `None` for the default.

    Raises:
        ValueError: There will be no such metric, or which way it is good is not known.
    """
    is_own = not isinstance(compute_metrics, MultiTaskMetrics | None)
    if args.load_best_model_at_end and not args.knows_metric:
        args.metric_for_best_model = "loss" if is_own else "average"
    metric = args.metric_for_best_model
    if metric is None:
        return
    if isinstance(eval_dataset, dict) and args.eval_strategy != IntervalStrategy.NO:
        metric = _of_one_dataset(metric, eval_dataset)
    if args.knows_direction:
        return
    try:
        args.greater_is_better = direction(tasks, metric)
    except ValueError as error:
        if not is_own:
            raise
        raise ValueError(
            "metric_for_best_model must be one whose direction is known, or told where compute_metrics is your own, "
            f"found {metric!r}. Pass greater_is_better=True, or False where lower is better."
        ) from error


def _of_one_dataset(metric: str, datasets: Collection[str]) -> str:
    """The metric without the name of its dataset."""
    key = metric.removeprefix("eval_")
    for name in sorted(datasets, key=len, reverse=True):  # one name may begin with another
        if key.startswith(f"{name}_"):
            return key.removeprefix(f"{name}_")
    example = f"{next(iter(datasets), '<dataset>')}_{key}"
    raise ValueError(
        f"metric_for_best_model must name one of the evaluation datasets {list(datasets)}, found {metric!r}. Pass "
        f"metric_for_best_model={example!r}, for instance."
    )
