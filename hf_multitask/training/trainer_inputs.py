"""What a Trainer is given, checked before anything is made of it."""

from collections.abc import Mapping
from typing import Any

from .arguments import MultiTaskTrainingArguments
from .evaluation_needs import check_evaluations


def checked_arguments(model: Any, args: Any, others: Mapping[str, Any]) -> MultiTaskTrainingArguments:
    """The arguments `args` of a Trainer that can be made.

    Args:
        model: The model that it is given.
        args: The training arguments.
        others: What else [`Trainer`] is given, by name.

    Raises:
        ValueError: The arguments are of another class, or need evaluations that there are not; there is no model; or
            losses are to be computed otherwise.
    """
    if not isinstance(args, MultiTaskTrainingArguments):
        raise ValueError(
            f"args must be MultiTaskTrainingArguments, found {type(args).__name__}. "
            "Pass MultiTaskTrainingArguments(output_dir=...)."
        )
    if model is None or others.get("compute_loss_func") is not None:
        raise ValueError(
            "MultiTaskTrainer needs a model and computes its losses itself, found model=None or a "
            "compute_loss_func. Pass model=MultiTaskModel.from_backbone(...), and weights in the tasks' "
            "loss_weight."
        )
    check_evaluations(args, others.get("eval_dataset"))
    return args
