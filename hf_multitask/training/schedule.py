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
    """`lr_scheduler_kwargs`, and which way the metric is good where the scheduler follows it and the user left it open.

    Both schedulers take every metric for a loss by themselves.
    """
    given: Any = args.lr_scheduler_kwargs
    if not follows_evaluations(args):
        return given  # type: ignore[no-any-return]
    return {"mode": "max" if args.greater_is_better else "min"} | (given or {})
