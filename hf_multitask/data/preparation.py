"""All datasets of a run, read, checked and mapped to all of its tasks."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset
from transformers import PreTrainedTokenizerBase

from ..modeling.task import Task, parse_tasks
from ..modeling.texts import Words
from ..settings.run_settings import SPLITS, RunSettings
from ..settings.task_settings import BALANCED
from .earlier_tasks import continued
from .inference import Column, check_columns_of_labels, infer_labels, infer_problem_type, source_of
from .mapping import SkippedRow, check_columns, forms_of, map_rows, where_of
from .skipped_rows import check_none_skipped
from .sources import given_splits, load_splits, load_stream
from .splitting import cut, draw
from .statistics import count_targets, fit_tasks, label_counts, numbers
from .streaming import Stream
from .tokenization import hash_of, tokenize

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42
"""That of the Trainer."""

SAMPLE = 1_000
"""Rows from the front of a stream that stand for all of it where something is computed from the training rows."""

Splits = dict[str, dict[str, Dataset]]


@dataclass(frozen=True)
class PreparedData:
    """What a run trains on.

    Args:
        tasks: The tasks, with all their labels and what is computed from the training rows.
        splits: Per split (train, validation, test) and dataset, rows with `text` (maybe `text_pair`, or `second_text`
            for similarities) or `words`, `targets` and `row`; of a streamed training split its first ones.
        skipped: The rows that could not be used, those of streams not among them.
        streams: Per streamed dataset, its training rows.
    """

    tasks: list[Task]
    splits: Splits
    skipped: tuple[SkippedRow, ...] = ()
    streams: Mapping[str, Stream] = field(default_factory=dict)

    def tokenized(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Splits:
        """Per split and dataset, the tokenised rows."""
        known = hash_of(tokenizer)
        return {
            split: {name: tokenize(rows, tokenizer, max_length, known) for name, rows in datasets.items()}
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
        """The first texts (or pairs, or [`Words`]) of `split`, drawn from its datasets in turn."""
        texts = []
        for index in range(count):
            for rows in self.splits[split].values():
                if index < len(rows):
                    row = rows[index]
                    words = [Words(row["words"])] if "words" in row else []
                    texts.append((*words, *(row[name] for name in ("text", "text_pair", "second_text") if name in row)))
        return texts[:count]

    @cached_property
    def untrained(self) -> list[str]:
        """Names of the tasks without a target in the training rows: only those of an earlier model can be."""
        train = self.splits["train"].values()
        return [task.name for task in self.tasks if not count_targets(task, train)]

    def label_counts(self, split: str) -> dict[str, dict[str, int]]:
        """Per task with labels, and rows in any split, how many rows (or words) of `split` have each."""
        return {
            task.name: dict(zip(task.labels, label_counts(task, self.splits[split].values()).tolist(), strict=True))
            for task in self._labelled
            if task.problem_type not in ("regression", "similarity")
        }

    def number_summaries(self, split: str) -> dict[str, dict[str, dict[str, float]]]:
        """Per task whose targets are numbers, and per value, `count`, `mean`, `min` and `max` in `split`."""
        summaries: dict[str, dict[str, dict[str, float]]] = {}
        for task in self.tasks:
            if task.problem_type in ("regression", "similarity"):
                columns = numbers(task, self.splits[split].values()).T
                known = [values[~np.isnan(values)] for values in columns]
                summaries[task.name] = {
                    name: {"count": len(v), "mean": float(v.mean()), "min": float(v.min()), "max": float(v.max())}
                    for name, v in zip(task.labels or (task.name,), known, strict=True)
                    if len(v)
                }
        return summaries

    @cached_property
    def _labelled(self) -> list[Task]:
        """The tasks with a target in any split."""
        rows = [rows for datasets in self.splits.values() for rows in datasets.values()]
        return [task for task in self.tasks if count_targets(task, rows)]


def prepare(
    settings: RunSettings,
    given: Mapping[str, Dataset | DatasetDict] | None = None,
    earlier: Sequence[Task] = (),
) -> PreparedData:
    """The data that `settings` describe, checked from the first row to the last.

    Args:
        settings: Of the run.
        given: Per dataset, its rows, in place of those that its `path` names.
        earlier: The tasks of the model that the run starts from, which come before all others; they need no rows, and
            datasets with targets for them alone need no train split.

    Raises:
        ValueError: Anything in it cannot be trained on; the message names task, dataset and row, and what to do.
    """
    known = {task.name: task for task in earlier}
    settings.check_fed(known)
    raw: Splits = {}
    drawn: dict[tuple[str, str], Any] = {}
    streamed: dict[str, IterableDataset] = {}
    for name, dataset in settings.datasets.items():
        trains = bool(dataset.shares) or not set(dataset.targets) <= set(known)
        if dataset.streaming:
            _check_can_stream(name, settings, given or {})
            streamed[name], loaded = load_stream(name, dataset, Path(settings.folder))
            loaded |= {"train": _first_rows(name, streamed[name])}
        elif given is not None and name in given:
            loaded = given_splits(name, dataset, given[name], needs_train=trains)
        else:
            loaded = load_splits(name, dataset, Path(settings.folder), needs_train=trains)
        raw[name] = {}
        for split, rows in loaded.items():
            check_columns(rows, dataset, where_of(name, split))
            drawn[name, split] = indices = draw(len(rows), dataset.max_rows, _seed(settings))
            raw[name][split] = rows if indices is None else rows.select(indices)
    described = {name: _describe(name, settings, raw, known.get(name)) for name in settings.tasks}
    tasks = parse_tasks((known | described).values())
    mapped: Splits = {}
    skipped: list[SkippedRow] = []
    for name, splits in raw.items():
        mapped[name] = {}
        for split, rows in splits.items():
            indices = drawn[name, split]
            usable, failed = map_rows(rows, settings.datasets[name], tasks, name, split, indices)
            mapped[name][split] = usable
            if name not in streamed or split != "train" or settings.invalid_rows == "error":
                skipped += failed  # those of a stream are told when training reads them
    if settings.invalid_rows == "error":
        check_none_skipped(skipped)
    elif skipped:
        logger.warning("%d rows cannot be used and are left out; the first: %s", len(skipped), skipped[0].reason)
    formed: Splits = {}
    for name, splits in mapped.items():
        for split, rows in _with_cut_splits(name, splits, settings, tasks).items():
            forms = forms_of(name, rows, settings.datasets[name], tasks)
            formed.setdefault(split, {}).update({form: found for form, found in forms.items() if len(found)})
    splits_of_run = {split: formed[split] for split in SPLITS if split in formed}
    _check_every_task_has_targets([task for task in tasks if task.name not in known], splits_of_run)
    _check_train(settings, [task for task in tasks if task.name in known], splits_of_run)
    rows_of_splits = {split: list(rows.values()) for split, rows in splits_of_run.items()}
    tasks = fit_tasks(tasks, settings.tasks, rows_of_splits, known)
    skips = settings.invalid_rows == "skip"
    streams = {
        name: Stream(name, rows, settings.datasets[name], tasks, skips_invalid=skips) for name, rows in streamed.items()
    }
    data = PreparedData(tasks, splits_of_run, tuple(skipped), streams)
    _warn_of_labels_without_training_rows(settings, data)
    return data


def _check_can_stream(name: str, settings: RunSettings, given: Mapping[str, Any]) -> None:
    if name in given:
        raise ValueError(
            f"datasets.{name}: its rows must be read from its path where streaming is true, found some that are given. "
            "Remove streaming."
        )
    max_steps = settings.training.get("max_steps", -1)
    if max_steps < 1:
        raise ValueError(
            f"training.max_steps must be at least 1 where a dataset is streamed ({name!r}), found {max_steps}: its end "
            "is not known. Add it."
        )


def _first_rows(name: str, rows: IterableDataset) -> Dataset:
    """The first rows of a stream, from which what is computed from the training rows is computed."""
    first: Dataset = Dataset.from_list(list(rows.take(SAMPLE)), features=rows.features)
    if len(first) == 0:
        raise ValueError(f"datasets.{name}, split 'train': there must be at least one row, found none. Add rows.")
    logger.warning(
        "Dataset %r is streamed: its first %d rows stand for all where labels are counted and targets standardised",
        *(name, len(first)),
    )
    return first


def _describe(name: str, settings: RunSettings, raw: Splits, earlier: Task | None) -> Task:
    """The task called `name`: its kind and labels are those of the `earlier` model, or inferred if not given."""
    task = settings.tasks[name]
    columns = [
        Column(rows, source_of(rows.features, dataset.targets[name]), dataset.text_columns[0], where_of(source, split))
        for source, dataset in settings.datasets.items()
        if name in dataset.targets
        for split, rows in raw[source].items()
    ]
    kind = earlier.problem_type if earlier else task.problem_type or infer_problem_type(name, columns)
    for source, dataset in settings.datasets.items():
        if name in dataset.targets:
            dataset.check_kind(f"datasets.{source}.targets.{name}", name, kind)
    if earlier:
        found = continued(earlier, task)
    else:
        given = None if task.labels is None else [str(label) for label in task.labels]
        found = Task.parse(task.described(name, kind, infer_labels(name, kind, columns) if given is None else given))
    check_columns_of_labels(found, columns)
    return found


def _with_cut_splits(
    name: str, splits: dict[str, Dataset], settings: RunSettings, tasks: list[Task]
) -> dict[str, Dataset]:
    """The mapped `splits` of a dataset, and those that are to be cut from its training rows."""
    dataset = settings.datasets[name]
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(
                f"{where_of(name, split)}: there must be at least one usable row, found none. Correct the rows."
            )
    shares = {split: share for split, share in dataset.shares.items() if split not in splits}
    if not shares:
        return splits
    train = splits["train"]
    choices = {task.name for task in tasks if task.is_choice and not task.reads_tokens}
    strata = None
    if primary := next((task for task in dataset.targets if task in choices), None):
        targets = pc.struct_field(train.with_format("arrow")[:]["targets"], primary)
        strata = pc.fill_null(targets, -1).to_pylist()
    parts = cut(len(train), shares, strata, _seed(settings), f"dataset {name!r}")
    return splits | {split: train.select(indices) for split, indices in parts.items()}


def _seed(settings: RunSettings) -> int:
    return int(settings.training.get("seed", DEFAULT_SEED))


def _check_every_task_has_targets(tasks: list[Task], splits: Splits) -> None:
    for split, datasets in splits.items():
        for task in tasks:
            if not count_targets(task, datasets.values()):
                raise ValueError(
                    f"Task {task.name!r}, split {split!r}: there must be labelled rows, found none in the datasets "
                    f"{list(datasets)}. Add rows to this split of a dataset with targets for the task, or leave the "
                    "split out of all datasets."
                )


def _check_train(settings: RunSettings, earlier: list[Task], splits: Splits) -> None:
    """Raise unless there is something to train on, and what is to be computed from it of `earlier` tasks can be."""
    if "train" not in splits:
        raise ValueError(
            f"There must be training rows, found only the splits {list(splits)}. Add a dataset with a train split."
        )
    for task in earlier:
        wanted = settings.tasks[task.name].class_weights if task.name in settings.tasks else None
        if wanted == BALANCED and not count_targets(task, splits["train"].values()):
            raise ValueError(
                f"tasks.{task.name}.class_weights must be left out where the task has no training rows, found "
                f"{BALANCED!r}. Remove it, or add rows."
            )


def _warn_of_labels_without_training_rows(settings: RunSettings, data: PreparedData) -> None:
    for task, counts in data.label_counts("train").items():
        absent = [label for label, count in counts.items() if not count]
        if absent and task in settings.tasks and settings.tasks[task].labels is None and task not in data.untrained:
            logger.warning("Task %r: no training row has the labels %s, which other splits have", task, absent)
