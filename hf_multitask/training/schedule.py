"""Learning rates that follow what is evaluated."""

from typing import Any

from transformers.trainer_utils import SchedulerType

from .arguments import MultiTaskTrainingArguments

FOLLOWING = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
"""Schedulers that make a step after each evaluation, by its `metric_for_best_model`."""


def follows_evaluations(args: MultiTaskTrainingArguments) -> bool:
    """Whether the learning rate depends on the evaluations of a run."""
    return args.lr_scheduler_type in FOLLOWING


def scheduler_kwargs(args: MultiTaskTrainingArguments) -> dict[str, Any] | None:
    """`lr_scheduler_kwargs`, and what the user left open of them where the scheduler follows a metric.

    That is which way the metric is good: both schedulers take every metric for a loss by themselves. And GreedyLR has a
    lowest rate of 1e-3, which is above those of an encoder.
    """
    given: Any = args.lr_scheduler_kwargs
    if not follows_evaluations(args):
        return given  # type: ignore[no-any-return]
    lowest = {"min_lr": 0.0} if args.lr_scheduler_type == SchedulerType.GREEDY else {}
    return {"mode": "max" if args.greater_is_better else "min"} | lowest | (given or {})
