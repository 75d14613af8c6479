"""All datasets of a run, read, checked and mapped to all of its tasks."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset

from ..modeling.task import Task, parse_tasks
from ..settings.dataset_settings import DatasetSettings
from ..settings.run_settings import SPLITS, RunSettings
from ..settings.task_settings import BALANCED
from .earlier_tasks import continued
from .inference import Column, check_columns_of_labels, infer_labels, infer_problem_type, source_of
from .mapping import SkippedRow, check_columns, forms_of, map_rows, where_of
from .prepared_data import PreparedData, Splits
from .same_texts import text_keys, warn_of_trained_texts
from .skipped_rows import check_none_skipped
from .sources import given_splits, load_splits, load_stream
from .splitting import cut, draw
from .statistics import count_targets, fit_tasks
from .stream import Stream

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42
"""That of the Trainer."""

SAMPLE = 1_000
"""Rows from the front of a stream that stand for all of it where something is computed from the training rows."""


def prepare(
    settings: RunSettings,
    given: Mapping[str, Dataset | DatasetDict] | None = None,
    earlier: Sequence[Task] = (),
    scored: str | None = None,
) -> PreparedData:
    """The data that `settings` describe, checked from the first row to the last.

    Args:
        settings: Of the run.
        given: Per dataset, its rows, in place of those that its `path` names.
        earlier: The tasks of the model that the run starts from, which come before all others; they need no rows, and
            datasets with targets for them alone need no train split.
        scored: The split that a model, whose tasks are `earlier`, is to be scored on: there are no others then, and
            only rows that it needs are looked at. By default the data are for training.

    Raises:
        ValueError: Anything in it cannot be trained on, or scored; the message names task, dataset and row, and what to
            do.
    """
    known = {task.name: task for task in earlier}
    settings.check_fed(known)
    raw: Splits = {}
    found: dict[str, frozenset[str]] = {}
    drawn: dict[tuple[str, str], Any] = {}
    streamed: dict[str, IterableDataset] = {}
    for name, dataset in settings.datasets.items():
        needs_train = scored is None and (bool(dataset.shares) or not set(dataset.targets) <= set(known))
        if dataset.streaming:
            _check_can_stream(name, settings, given or {})
            streamed[name], loaded = load_stream(name, dataset, Path(settings.folder))
            loaded |= {"train": _first_rows(name, streamed[name], dataset.max_rows)}
        elif given is not None and name in given:
            loaded = given_splits(name, dataset, given[name], needs_train=needs_train)
        else:
            loaded = load_splits(name, dataset, Path(settings.folder), needs_train=needs_train)
        raw[name], found[name] = {}, frozenset(loaded)
        for split, rows in loaded.items():
            if scored not in (None, split) and (split != "train" or scored not in _cut(dataset, loaded)):
                continue
            check_columns(rows, dataset, where_of(name, split))
            drawn[name, split] = indices = draw(len(rows), dataset.max_rows, seed_of(settings))
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
        for split, rows in _with_cut_splits(name, splits, found[name], settings, tasks).items():
            forms = forms_of(name, rows, settings.datasets[name], tasks)
            formed.setdefault(split, {}).update({form: some for form, some in forms.items() if len(some)})
    splits_of_run = {split: formed[split] for split in SPLITS if split in formed and scored in (None, split)}
    if scored is not None and not splits_of_run:
        names = sorted({split for splits in found.values() for split in splits})
        raise ValueError(
            f"There must be {scored} rows to score, found only the splits {names}. Name a file of them in the "
            f"configuration (data_files: {{{scored}: FILE}}), or another split."
        )
    fed_later = {
        task
        for name in streamed
        if len(raw[name].get("train", ())) == SAMPLE
        for task in settings.datasets[name].targets
    }
    _check_every_task_has_targets([task for task in tasks if task.name not in known], splits_of_run, fed_later)
    if scored is None:
        _check_train(settings, [task for task in tasks if task.name in known], splits_of_run)
    rows_of_splits = {split: list(rows.values()) for split, rows in splits_of_run.items()}
    tasks = fit_tasks(tasks, settings.tasks, rows_of_splits, known)
    skips = settings.invalid_rows == "skip"
    streams = {
        name: Stream(name, rows, settings.datasets[name], tasks, skips_invalid=skips) for name, rows in streamed.items()
    }
    data = PreparedData(tasks, splits_of_run, tuple(skipped), streams, frozenset(fed_later))
    if scored is None:
        _warn_of_labels_without_training_rows(settings, data)
        warn_of_trained_texts(splits_of_run)
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


def _first_rows(name: str, rows: IterableDataset, max_rows: int | None) -> Dataset:
    """The first rows of a stream, from which what is computed from the training rows is computed."""
    first: Dataset = Dataset.from_list(list(rows.take(min(SAMPLE, max_rows or SAMPLE))), features=rows.features)
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


def _cut(dataset: DatasetSettings, found: Collection[str]) -> dict[str, float]:
    """The splits that are to be cut from training rows, where those of the names `found` come by themselves."""
    return {split: share for split, share in dataset.shares.items() if split not in found}


def _with_cut_splits(
    name: str, splits: dict[str, Dataset], found: Collection[str], settings: RunSettings, tasks: list[Task]
) -> dict[str, Dataset]:
    """The mapped `splits` of a dataset, and those that are to be cut from its training rows; `found` are all it has."""
    dataset = settings.datasets[name]
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(
                f"{where_of(name, split)}: there must be at least one usable row, found none. Correct the rows."
            )
    shares = _cut(dataset, found)
    if not shares or "train" not in splits:
        return splits
    train = splits["train"]
    choices = {task.name for task in tasks if task.is_choice and not task.reads_tokens}
    strata = None
    if primary := next((task for task in dataset.targets if task in choices), None):
        targets = pc.struct_field(train.with_format("arrow")[:]["targets"], primary)
        strata = pc.fill_null(targets, -1).to_pylist()
    parts = cut(text_keys(train), shares, strata, seed_of(settings), f"dataset {name!r}")
    return splits | {split: train.select(indices) for split, indices in parts.items()}


def seed_of(settings: RunSettings) -> int:
    """What `max_rows` and splits that are cut are drawn with."""
    return int(settings.training.get("seed", DEFAULT_SEED))


def _check_every_task_has_targets(tasks: list[Task], splits: Splits, fed_later: Collection[str]) -> None:
    for split, datasets in splits.items():
        for task in tasks:
            if count_targets(task, datasets.values()):
                continue
            # Not numbers: their mean, or their range, is needed now.
            if split == "train" and task.name in fed_later and task.has_classes:
                logger.warning("Task %r: the first %d rows of its stream have no target for it", task.name, SAMPLE)
            else:
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
