"""The rows that a Trainer is given to train on, looked through before the first of them is read."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from ..data.mixing import Mixture
from ..data.split_names import split_of
from ..modeling.task import Task

logger = logging.getLogger(__name__)

USUAL = (0.1, 10.0)
"""Between these the mean square of numbers is near enough to the 1 of standardised ones."""

LOOKED_AT = 10_000
"""Rows of a dataset, from its first on, that tell it: all of a large one that is shuffled take seconds."""


def check_are_one_split(datasets: Mapping[str, Any]) -> None:
    """Raise where datasets that are to be trained on together are the splits of one.

    Raises:
        ValueError: They are called as such.
    """
    splits = {split_of(str(name)) for name in datasets} - {None}
    if "train" in splits and len(splits) > 1:
        raise ValueError(
            "The training rows must be those of one split, or datasets by names of their own, which are mixed, found "
            f"{list(datasets)}. Pass the one called 'train', and another as eval_dataset; or rename them, if all are "
            "to be trained on."
        )


def check_columns(dataset: Any) -> None:
    """Raise unless rows of which a [`MultiTaskCollator`] makes batches have tokens and something to learn.

    Args:
        dataset: What is trained on; looked at if it is a [`Mixture`].

    Raises:
        ValueError: They do not: each batch would teach nothing.
    """
    for columns in _features(dataset):
        if not {"input_ids", "sentence_embedding"} & set(columns):
            raise ValueError(
                f"Training rows must have input_ids, found the columns {list(columns)}. Pass tokenize(rows, tokenizer, "
                "max_length=...)."
            )
        if not {"targets", "teacher_logits"} & set(columns):
            raise ValueError(
                f"Training rows must have targets, found the columns {list(columns)}. Give each row a mapping from "
                "tasks to targets: {'text': ..., 'targets': {task: ...}}."
            )


def warn_of_unread_targets(tasks: Iterable[Task], dataset: Any) -> None:
    """Warn where rows have targets of no task, while a task has none: mostly its name is misspelt.

    Args:
        tasks: The model's.
        dataset: What is trained on; looked at if it is a [`Mixture`].
    """
    targets = [columns.get("targets") for columns in _features(dataset)]
    named = {name for found in targets if isinstance(found, Mapping) for name in found}
    known = {task.name for task in tasks}
    if named - known and known - named:
        logger.warning(
            "The training rows have targets for %s, which are no tasks of the model, and none for its tasks %s. Are "
            "these meant?",
            *(sorted(named - known), sorted(known - named)),
        )


def warn_of_plain_numbers(tasks: Iterable[Task], dataset: Any) -> None:
    """Warn where numbers that are far from standardised ones are learnt as they are.

    The loss of such a task is larger than all others together, or too small to be heard.

    Args:
        tasks: The model's.
        dataset: What is trained on; looked at if it is a [`Mixture`].
    """
    plain = [
        task.name
        for task in tasks
        if task.problem_type == "regression" and task.loss_weight and not (task.target_mean or task.target_std)
    ]
    for name, numbers_N in _numbers(plain, dataset).items():
        if not USUAL[0] <= (square := float((numbers_N**2).mean())) <= USUAL[1]:
            logger.warning(
                "Task %r: the squares of its training targets are %.4g on average, and so is its loss at first, that "
                "of other tasks about 1. Give the task target_mean and target_std, lists of the mean and the standard "
                "deviation of each of its values, by which they are standardised inside",
                *(name, square),
            )


def _datasets(dataset: Any) -> list[Dataset]:
    """Those of a [`Mixture`] whose columns are known: a transform may make others."""
    datasets = dataset.datasets.values() if isinstance(dataset, Mixture) else ()
    return [rows for rows in datasets if isinstance(rows, Dataset) and rows.format["type"] != "custom"]


def _features(dataset: Any) -> list[Mapping[str, Any]]:
    return [rows.features for rows in _datasets(dataset)]


def _numbers(tasks: Sequence[str], dataset: Any) -> dict[str, NDArray[np.float64]]:
    """Of the `tasks` that have any, the numbers that are their targets, (N,)."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for rows in _datasets(dataset):
        features: Any = rows.features.get("targets")
        there = [task for task in tasks if isinstance(features, Mapping) and task in features]
        targets = rows.with_format("arrow", columns=["targets"])[:LOOKED_AT]["targets"] if there else None
        for task in there:
            values = pc.struct_field(targets, task)
            if pa.types.is_list(values.type):
                values = pc.list_flatten(values)
            if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
                numbers_N = values.drop_null().to_numpy().astype(np.float64)
                found.setdefault(task, []).append(numbers_N[np.isfinite(numbers_N)])
    joined = {task: np.concatenate(parts) for task, parts in found.items()}
    return {task: numbers_N for task, numbers_N in joined.items() if len(numbers_N)}
