"""What must hold before models can be compared, as far as it is known before any is trained."""

from typing import Any

from datasets import Dataset
from transformers import EarlyStoppingCallback

from ..data.collation import MultiTaskCollator
from ..data.mapping import has_target
from ..data.mixing import Mixture
from ..training.freezing import GradualUnfreezing
from ..training.trainer import MultiTaskTrainer
from .budget import Budget
from .run_arguments import check_arguments, evaluates

ARGUMENT_OF = {EarlyStoppingCallback: "early_stopping_patience", GradualUnfreezing: "gradual_unfreezing_steps"}
"""Callbacks that decide what becomes of a model -> the training argument that makes each in every run."""


def check_models(trainer: MultiTaskTrainer, rows: Any, split: str) -> None:
    """Raise unless a model of each task can be trained and scored as that of `trainer`.

    Args:
        trainer: That of the shared model, trained or not.
        rows: Tokenised rows with targets to score.
        split: What these are called.

    Raises:
        ValueError: Other models cannot be trained by the same rules, there is one task alone, or a task has no target
            where it needs one.
    """
    args, mixture = trainer.args, trainer.train_dataset
    check_arguments(args)
    _check_own_parts(trainer)
    if len(trainer.model.config.tasks) < 2:
        raise ValueError(
            f"compare_single_task needs a model of several tasks, found one of {trainer.model.config.tasks[0].name!r} "
            "alone, which nothing is shared with. Add a task, or leave compare_single_task out."
        )
    taught = isinstance(mixture, Mixture) and any("teacher_logits" in d.column_names for d in mixture.datasets.values())
    if not isinstance(mixture, Mixture) or taught:
        raise ValueError(
            "compare_single_task needs training rows that can be chosen by task and have targets alone, found "
            f"{'answers of another model' if taught else type(mixture).__name__}. Train on datasets of rows."
        )
    compared = [task.name for task in trainer.model.config.tasks if task.loss_weight]
    _check_targets(rows, compared, f"the {split} split, which models are scored on")
    if evaluates(args):
        where = "the validation split, by which a run ends or its checkpoint is chosen"
        _check_targets(trainer.eval_dataset, compared, where)
    budget = Budget(mixture, args)
    for task in compared:
        budget.check(task)


def _check_own_parts(trainer: MultiTaskTrainer) -> None:
    """Raise where a Trainer was given what decides about its model and no other run would have."""
    found = [] if type(trainer.data_collator) is MultiTaskCollator else [type(trainer.data_collator).__name__]
    for kind, argument in ARGUMENT_OF.items():
        given = [one for one in trainer.callback_handler.callbacks if isinstance(one, kind)]
        found += [kind.__name__] if len(given) > bool(getattr(trainer.args, argument)) else []
    if trainer.optimizer_cls_and_kwargs is not None:
        found.append("optimizer_cls_and_kwargs")
    if trainer.optimizer is not None and trainer.made_groups is None:
        found.append("optimizers")
    if found:
        raise ValueError(
            "compare_single_task needs a Trainer that its arguments tell all of, since other models are trained by "
            f"these alone, found {' and '.join(found)} of your own. Leave it out; what ends a run or unfreezes it are "
            f"the arguments {' and '.join(ARGUMENT_OF.values())}."
        )


def _check_targets(rows: Any, tasks: list[str], where: str) -> None:
    if not isinstance(rows, Dataset):
        raise ValueError(
            f"compare_single_task needs a Dataset of rows in {where}, found {type(rows).__name__}. Pass one, such as "
            "datasets.concatenate_datasets(...) makes of several."
        )
    missing = [task for task in tasks if not has_target(rows, [task]).any()]
    if missing:
        raise ValueError(
            f"compare_single_task needs targets of every task in {where}, found none of {missing}. Add rows with "
            "targets of these, or leave compare_single_task out."
        )
