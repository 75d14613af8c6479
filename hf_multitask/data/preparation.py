"""All datasets of a run, read, checked and mapped to all of its tasks."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..modeling.configuration_multitask import Task, parse_tasks
from ..settings.run_settings import SPLITS, RunSettings
from .mapping import check_columns, infer_labels, map_rows
from .mixing import mix
from .sources import load_splits
from .tokenization import tokenize


@dataclass(frozen=True)
class PreparedData:
    """What a run trains on.

    Args:
        tasks: The tasks, with all their labels.
        splits: Per split (train, validation, test) and dataset, rows with `text`, maybe `text_pair`, and `targets`.
    """

    tasks: list[Task]
    splits: dict[str, dict[str, Dataset]]

    def tokenized(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Dataset]:
        """Per split, the tokenised rows of all datasets as one."""
        return {
            split: mix([tokenize(rows, tokenizer, max_length) for rows in datasets.values()])
            for split, datasets in self.splits.items()
        }

    def sizes(self) -> dict[str, dict[str, int]]:
        """Per dataset and split, the number of rows."""
        names = {name: None for datasets in self.splits.values() for name in datasets}
        return {
            name: {split: len(datasets[name]) for split, datasets in self.splits.items() if name in datasets}
            for name in names
        }

    def first_texts(self, split: str, count: int) -> list[tuple[str, ...]]:
        """The first texts (or pairs) of `split`, drawn from its datasets in turn."""
        texts = []
        for index in range(count):
            for rows in self.splits[split].values():
                if index < len(rows):
                    row = rows[index]
                    texts.append(tuple(row[name] for name in ("text", "text_pair") if name in row))
        return texts[:count]

    def label_counts(self, split: str) -> dict[str, dict[str, int]]:
        """Per task, how many rows of `split` have each label."""
        counts = {task.name: [0] * task.num_labels for task in self.tasks}
        for rows in self.splits[split].values():
            targets = rows.with_format("arrow")[:]["targets"]
            for task in self.tasks:
                for entry in pc.value_counts(pc.struct_field(targets, task.name)).to_pylist():
                    if entry["values"] is not None:
                        counts[task.name][entry["values"]] += entry["counts"]
        return {task.name: dict(zip(task.labels, counts[task.name], strict=True)) for task in self.tasks}


def prepare(settings: RunSettings) -> PreparedData:
    """The data that `settings` describe, checked from the first row to the last.

    Raises:
        ValueError: Anything in it cannot be trained on; the message names task, dataset and row, and what to do.
    """
    raw: dict[str, dict[str, Dataset]] = {}
    for name, dataset in settings.datasets.items():
        for split, rows in load_splits(name, dataset, Path(settings.folder)).items():
            check_columns(rows, dataset, _where(name, split))
            raw.setdefault(split, {})[name] = rows
    tasks = _tasks(settings, raw["train"])
    splits = {
        split: {
            name: map_rows(rows, settings.datasets[name], tasks, _where(name, split))
            for name, rows in raw[split].items()
        }
        for split in SPLITS
        if split in raw
    }
    data = PreparedData(tasks, splits)
    _check_every_task_has_labels(data)
    return data


def _where(dataset: str, split: str) -> str:
    return f"dataset {dataset!r}, split {split!r}"


def _tasks(settings: RunSettings, train: dict[str, Dataset]) -> list[Task]:
    descriptions = []
    for name, task in settings.tasks.items():
        if task.labels is None:
            columns = [
                (train[dataset], spec.targets[name], _where(dataset, "train"))
                for dataset, spec in settings.datasets.items()
                if name in spec.targets
            ]
            labels = infer_labels(name, columns)
        else:
            labels = [str(label) for label in task.labels]
        descriptions.append(task.described(name, labels))
    return parse_tasks(descriptions)


def _check_every_task_has_labels(data: PreparedData) -> None:
    for split, datasets in data.splits.items():
        for task, counts in data.label_counts(split).items():
            if not any(counts.values()):
                raise ValueError(
                    f"Task {task!r}, split {split!r}: there must be labelled rows, found none in the datasets "
                    f"{list(datasets)}. Add rows to this split of a dataset with targets for the task, or leave the "
                    "split out of all datasets."
                )
