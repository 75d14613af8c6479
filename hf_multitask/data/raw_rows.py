"""The rows of a run's datasets as they are read, before anything is made of them."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, IterableDataset

from ..settings.dataset_settings import DatasetSettings
from ..settings.run_settings import RunSettings
from .mapping import check_columns, where_of
from .sources import given_splits, load_splits, load_stream
from .splitting import draw

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42
"""That of the Trainer."""

SAMPLE = 1_000
"""Rows from the front of a stream that stand for all of it where something is computed from the training rows."""


class RawRows(NamedTuple):
    """The raw rows of a dataset.

    Args:
        splits: Its splits that are needed, of each at most `max_rows` rows; of a stream the first training rows.
        drawn: Per split of these, the numbers of the rows, `None` where they are all.
        found: Names of all splits that it has.
        stream: Its training rows, where it is streamed.
    """

    splits: dict[str, Dataset]
    drawn: dict[str, Any]
    found: frozenset[str]
    stream: IterableDataset | None

    @property
    def may_go_on(self) -> bool:
        """Whether there may be training rows behind those of `splits`."""
        return self.stream is not None and len(self.splits.get("train", ())) == SAMPLE


def read_rows(
    name: str, settings: RunSettings, given: Mapping[str, Any], known: Collection[str], scored: str | None
) -> RawRows:
    """The rows of a dataset, which have the columns that its tasks read.

    Args:
        name: The user's name for the dataset.
        settings: Of the run.
        given: Per dataset, its rows, in place of those that its `path` names.
        known: Names of the tasks that need no training rows.
        scored: The only split that is needed, which may have to be cut from the training rows; by default all are.

    Raises:
        ValueError: The rows cannot be read, or lack a column; or there is no train split where one is needed.
    """
    dataset, stream = settings.datasets[name], None
    needs_train = scored is None and (bool(dataset.shares) or not set(dataset.targets) <= set(known))
    if dataset.streaming:
        _check_can_stream(name, settings, given)
        stream, loaded = load_stream(name, dataset, Path(settings.folder))
        loaded |= {"train": _first_rows(name, stream, dataset.max_rows)}
    elif name in given:
        loaded = given_splits(name, dataset, given[name], needs_train=needs_train)
    else:
        loaded = load_splits(name, dataset, Path(settings.folder), needs_train=needs_train)
    splits, drawn = {}, {}
    for split, rows in loaded.items():
        if scored not in (None, split) and (split != "train" or scored not in shares_to_cut(dataset, loaded)):
            continue
        check_columns(rows, dataset, where_of(name, split))
        drawn[split] = indices = draw(len(rows), dataset.max_rows, seed_of(settings))
        splits[split] = rows if indices is None else rows.select(indices)
    return RawRows(splits, drawn, frozenset(loaded), stream)


def shares_to_cut(dataset: DatasetSettings, found: Collection[str]) -> dict[str, float]:
    """The splits that are to be cut from training rows, where those of the names `found` come by themselves."""
    return {split: share for split, share in dataset.shares.items() if split not in found}


def seed_of(settings: RunSettings) -> int:
    """What `max_rows` and splits that are cut are drawn with."""
    return int(settings.training.get("seed", DEFAULT_SEED))


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
