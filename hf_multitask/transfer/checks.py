"""What must hold before models can be compared, as far as it is known before any is trained."""

from typing import Any

from datasets import Dataset

from ..data.mapping import has_target
from ..data.mixing import Mixture
from ..training.trainer import MultiTaskTrainer
from .budget import Budget
from .run_arguments import check_arguments, evaluates


def check_models(trainer: MultiTaskTrainer, rows: Any, split: str) -> None:
    """Raise unless a model of each task can be trained and scored as that of `trainer`.

    Args:
        trainer: That of the shared model, trained or not.
        rows: Tokenised rows with targets to score.
        split: What these are called.

    Raises:
        ValueError: Other models cannot be trained by the same rules, or a task has no target where it needs one.
    """
    args, mixture = trainer.args, trainer.train_dataset
    check_arguments(args)
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
