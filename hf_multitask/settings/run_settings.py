"""Everything one training run is told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict

from ..modeling.configuration_multitask import PROBLEM_TYPES, parse_tasks
from ..modeling.pooling import POOLINGS
from .construction import build, checked_mapping
from .keys import check_keys

SPLITS = ("train", "validation", "test")


@strict
@dataclass(kw_only=True)
class TaskSettings:
    """What the user says of a task; what is left out is inferred from the data.

    Args:
        problem_type: Hugging Face's word for the kind of task.
        labels: The classes, in the order of the head's outputs; by default those of the training rows, sorted.
        loss_weight: Factor of the task's loss in the total.
    """

    problem_type: str | None = None
    labels: list[str | int] | None = None
    loss_weight: float | int = 1.0

    def described(self, name: str, labels: list[str]) -> dict[str, Any]:
        """The task's description for [`MultiTaskConfig`], given its `name` and `labels`."""
        return {
            "name": name,
            "labels": labels,
            "problem_type": self.problem_type or PROBLEM_TYPES[0],
            "loss_weight": self.loss_weight,
        }


@strict
@dataclass(kw_only=True)
class DatasetSettings:
    """Where rows come from and which of their columns mean what.

    Args:
        path: A file or folder of csv, tsv, json, jsonl or parquet, or a Hub dataset id.
        text: The column with the text, or the two columns of a pair.
        targets: Per task, the column with its targets.
        name: Configuration of a Hub dataset.
        revision: Revision of a Hub dataset.
        data_files: Per split, the file or files, relative to `path`.
        splits: Per split of ours (train, validation, test), the name of the dataset's.
    """

    path: str
    text: str | list[str]
    targets: dict[str, str]
    name: str | None = None
    revision: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    splits: dict[str, str] | None = None

    @property
    def text_columns(self) -> list[str]:
        """The one or two columns with text."""
        return [self.text] if isinstance(self.text, str) else self.text


@strict
@dataclass(kw_only=True)
class RunSettings:
    """One training run.

    Args:
        backbone: `packaged:<name>`, a Hub id or a local folder.
        datasets: The datasets, by names of the user's choice.
        tasks: The tasks, by name; by default those that the datasets have targets for.
        pooling: How token embeddings become the sentence embedding.
        max_length: Tokens per text (or pair), at most.
        training: The fields of [`MultiTaskTrainingArguments`].
        sample_texts: Texts whose probabilities are printed in the end; by default the first of the test split.
        overwrite_output_dir: Whether an `output_dir` that holds files is moved aside instead of refused.
        folder: Where relative paths of datasets may start from, besides the working directory.
    """

    backbone: str
    datasets: dict[str, DatasetSettings]
    tasks: dict[str, TaskSettings]
    pooling: str = "mean"
    max_length: int = 128
    training: dict[str, Any] = field(default_factory=dict)
    sample_texts: list[str] | None = None
    overwrite_output_dir: bool = False
    folder: str = "."

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path = Path()) -> "RunSettings":
        """The settings that the mapping in a configuration file describes, all checked.

        Raises:
            ValueError: A key is unknown or missing, a value is of the wrong type, or the parts contradict each other.
        """
        known = [f.name for f in fields(cls) if f.name != "folder"]
        check_keys(values, known, "configuration")
        values = {key: value for key, value in values.items() if value is not None}  # `tasks:` with nothing below
        datasets = {
            name: build(DatasetSettings, value, f"datasets.{name}")
            for name, value in checked_mapping(values.get("datasets"), "datasets").items()
        }
        tasks = {
            name: build(TaskSettings, {} if value is None else value, f"tasks.{name}")
            for name, value in checked_mapping(values.get("tasks", {}), "tasks").items()
        }
        if not tasks:
            tasks = {task: TaskSettings() for dataset in datasets.values() for task in dataset.targets}
        training = checked_mapping(values.get("training", {}), "training")
        parts = {"datasets": datasets, "tasks": tasks, "training": training, "folder": str(folder)}
        settings = build(cls, {**values, **parts}, "configuration")
        settings._check()
        return settings

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)

    def _check(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {list(POOLINGS)}, found {self.pooling!r}. Choose one of these.")
        if self.max_length < 3:
            raise ValueError(f"max_length must be at least 3 tokens, found {self.max_length}. Use 128 for sentences.")
        if not self.datasets:
            raise ValueError("datasets: there must be at least one, found none. Add one with path, text and targets.")
        for name, dataset in self.datasets.items():
            _check_dataset(f"datasets.{name}", dataset, self.tasks)
        unfed = [task for task in self.tasks if not any(task in dataset.targets for dataset in self.datasets.values())]
        if unfed:
            raise ValueError(
                f"Every task must have targets in a dataset, found none for {unfed}. Add them to a dataset's targets, "
                "or remove the task."
            )
        inferred = ["first", "second"]  # in place of labels that only the data will tell
        parse_tasks(
            task.described(name, inferred if task.labels is None else [str(label) for label in task.labels])
            for name, task in self.tasks.items()
        )


def _check_dataset(where: str, dataset: DatasetSettings, tasks: Mapping[str, TaskSettings]) -> None:
    check_keys(dataset.targets, tasks, f"{where}.targets")
    check_keys(dataset.splits or {}, SPLITS, f"{where}.splits")
    check_keys(dataset.data_files if isinstance(dataset.data_files, dict) else {}, SPLITS, f"{where}.data_files")
    if not dataset.targets:
        raise ValueError(f"{where}.targets: there must be at least one task, found none. Write {{task: column}}.")
    if not 1 <= len(dataset.text_columns) <= 2:
        raise ValueError(f"{where}.text must be one column or two, found {dataset.text!r}. Write [first, second].")
    if dataset.splits and dataset.data_files:
        raise ValueError(f"{where}: one of splits and data_files must be left out, found both. Remove splits.")
