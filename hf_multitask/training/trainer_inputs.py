"""What a Trainer is given, checked before anything is made of it."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from datasets import Dataset

from ..data.mixing import Mixture
from ..evaluation.metrics import MultiTaskMetrics
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .evaluation_needs import check_evaluations
from .loading import as_mixture

logger = logging.getLogger(__name__)

NEW_MODEL = "MultiTaskModel.from_backbone(...)"
"""How a model is made, in messages."""


def checked_arguments(model: Any, args: Any, **others: Any) -> MultiTaskTrainingArguments:
    """The arguments `args` of a Trainer that can be made.

    Args:
        model: The model that it is given.
        args: The training arguments.
        **others: What else [`Trainer`] is given, by name.

    Raises:
        ValueError: The arguments are of another class, or need evaluations that there are not; there is no model; or
            losses are to be computed otherwise.
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
    _warn_of_unread_targets(model.config.tasks, as_mixture(others.get("train_dataset")))
    return args


def _warn_of_unread_targets(tasks: Iterable[Task], train_dataset: Any) -> None:
    """Warn where rows have targets of no task, while a task has none: mostly its name is misspelt.

    Args:
        tasks: The model's.
        train_dataset: What is trained on; looked at if it is a [`Mixture`].
    """
    if not isinstance(train_dataset, Mixture):
        return
    features = [rows.features.get("targets") for rows in train_dataset.datasets.values() if isinstance(rows, Dataset)]
    named = {name for targets in features if isinstance(targets, Mapping) for name in targets}
    known = {task.name for task in tasks}
    if named - known and known - named:
        logger.warning(
            "The training rows have targets for %s, which are no tasks of the model, and none for its tasks %s. Are "
            "these meant?",
            *(sorted(named - known), sorted(known - named)),
        )
