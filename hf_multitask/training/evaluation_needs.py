"""What of a run needs evaluations: without them it would silently do nothing, or fail once training has begun."""

from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from .arguments import MultiTaskTrainingArguments
from .schedule import follows_evaluations


def check_evaluations(args: MultiTaskTrainingArguments, eval_dataset: Any) -> None:
    """Raise unless there will be the evaluations that `args` need.

    Args:
        args: Of the run.
        eval_dataset: Its evaluation rows, or several by name; `None` where there are none.

    Raises:
        ValueError: There are no rows to evaluate, or they are not to be.
    """
    needs = {
        "early_stopping_patience": args.early_stopping_patience,
        "task_patience": args.task_patience,
        "load_best_model_at_end": args.load_best_model_at_end,
        "save_strategy=best": args.save_strategy == SaveStrategy.BEST,
        f"lr_scheduler_type={SchedulerType(args.lr_scheduler_type).value}": follows_evaluations(args),
    }
    needed = next((name for name, is_needed in needs.items() if is_needed), None)
    if needed and (eval_dataset is None or args.eval_strategy == IntervalStrategy.NO):
        found = "no validation rows" if eval_dataset is None else "eval_strategy=no"
        raise ValueError(
            f"{needed} needs evaluations, found {found}. Give a validation split (validation: 0.1 cuts one), and "
            "eval_strategy: epoch."
        )
    if args.eval_on_start and eval_dataset is None:
        raise ValueError(
            "eval_on_start needs rows to evaluate, found no validation rows. Give a validation split (validation: 0.1 "
            "cuts one), or leave it out."
        )
