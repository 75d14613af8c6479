"""What a Trainer is given, checked before anything is made of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.collation import MultiTaskCollator
from ..evaluation.metrics import MultiTaskMetrics
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .best_metric import settle_best_metric
from .evaluation_needs import check_evaluations
from .given_rows import check_are_one_split, check_columns, warn_of_plain_numbers, warn_of_unread_targets
from .loading import as_mixture

NEW_MODEL = "MultiTaskModel.from_backbone(...)"
"""How a model is made, in messages."""


def checked_arguments(model: Any, args: Any, **others: Any) -> MultiTaskTrainingArguments:
    """The arguments `args` of a Trainer that can be made, with what they leave open of the best metric settled.

    Args:
        model: The model that it is given.
        args: The training arguments.
        **others: What else [`Trainer`] is given, by name.

    Raises:
        ValueError: The arguments are of another class, or need evaluations that there are not; there is no model;
            losses are to be computed otherwise; the training rows cannot be what is meant; or which way the best
            metric is good is not known.
    """
    if not isinstance(args, MultiTaskTrainingArguments):
        raise ValueError(
            f"args must be MultiTaskTrainingArguments, found {type(args).__name__}. "
            "Pass MultiTaskTrainingArguments(output_dir=...)."
        )
    if others.get("model_init") is not None:
        raise ValueError(
            "MultiTaskTrainer must be given its model, found model_init, which is not supported. Pass model="
            f"{NEW_MODEL}; to search hyperparameters, make a model and a MultiTaskTrainer for each trial yourself."
        )
    if model is None or others.get("compute_loss_func") is not None:
        raise ValueError(
            "MultiTaskTrainer needs a model and computes its losses itself, found model=None or a "
            f"compute_loss_func. Pass model={NEW_MODEL}, and weights in the tasks' loss_weight."
        )
    known_metrics = isinstance(others.get("compute_metrics"), MultiTaskMetrics | None)
    if others.get("preprocess_logits_for_metrics") is not None and known_metrics:
        raise ValueError(
            "preprocess_logits_for_metrics needs a compute_metrics of your own, found none: MultiTaskMetrics reads the "
            "logits themselves. Pass one, or leave it out."
        )
    check_evaluations(args, others.get("eval_dataset"))
    tasks = model.config.tasks
    _check_rows(tasks, others.get("train_dataset"), others.get("data_collator"))
    settle_best_metric(tasks, args, others.get("eval_dataset"), others.get("compute_metrics"))
    return args


def _check_rows(tasks: Sequence[Task], train_dataset: Any, collator: Any) -> None:
    """Raise, or warn, where what is trained on cannot be what is meant; what a collator of one's own reads is unknown.

    Raises:
        ValueError: It is the splits of a dataset, not tokenised or without targets.
    """
    if isinstance(train_dataset, Mapping):
        check_are_one_split(train_dataset)
    rows = as_mixture(train_dataset)
    if collator is None or type(collator) is MultiTaskCollator:  # another may tokenise
        check_columns(rows)
        warn_of_plain_numbers(tasks, rows)
    warn_of_unread_targets(tasks, rows)
