"""Rows, tasks and what is known of both: what a run trains on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..modeling.task import Task
from ..modeling.texts import Words
from ..settings.dataset_settings import SPLITS
from .mapping import SkippedRow
from .statistics import count_targets, label_counts, numbers
from .stream import Stream
from .tokenization import hash_of, tokenize, warn_of_cut_texts, warn_of_lost_words

Splits: TypeAlias = dict[str, dict[str, Dataset]]
"""Per split and dataset, rows."""


@dataclass(frozen=True)
class PreparedData:
    """What a run trains on.

    Args:
        tasks: The tasks, with all their labels and what is computed from the training rows.
        splits: Per split (train, validation, test) and dataset, rows with `text` (maybe `text_pair`, or `second_text`
            for similarities) or `words`, `targets` and `row`; of a streamed training split its first ones.
        skipped: The rows that could not be used, those of streams not among them.
        streams: Per streamed dataset, its training rows.
        fed_later: Tasks that may have their first targets behind the first rows of a stream.
    """

    tasks: list[Task]
    splits: Splits
    skipped: tuple[SkippedRow, ...] = ()
    streams: Mapping[str, Stream] = field(default_factory=dict)
    fed_later: frozenset[str] = frozenset()

    def tokenized(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, splits: Collection[str] = SPLITS
    ) -> Splits:
        """Per split and dataset, the tokenised rows; of these `splits`, those that there are."""
        known = hash_of(tokenizer)
        wanted = {split: datasets for split, datasets in self.splits.items() if split in splits}
        tokenized = {
            split: {name: tokenize(rows, tokenizer, max_length, known) for name, rows in datasets.items()}
            for split, datasets in wanted.items()
        }
        for split, datasets in wanted.items():
            for name, rows in datasets.items():
                warn_of_lost_words(rows, tokenized[split][name], max_length)
        warn_of_cut_texts(tokenized, max_length)
        return tokenized

    def sizes(self) -> dict[str, dict[str, int]]:
        """Per dataset and split, the number of rows."""
        names = {name: None for datasets in self.splits.values() for name in datasets}
        return {
            name: {split: len(datasets[name]) for split, datasets in self.splits.items() if name in datasets}
            for name in names
        }

    def first_texts(self, split: str, count: int) -> list[tuple[str, ...]]:
        """The first texts (or pairs, or [`Words`]) of `split`, each once, drawn from its datasets in turn."""
        texts: dict[tuple[str, ...], None] = {}  # the same pairs may stand there in two forms
        for index in range(2 * count):
            for rows in self.splits[split].values():
                if index < len(rows):
                    row = rows[index]
                    words = [Words(row["words"])] if "words" in row else []
                    parts = (row[name] for name in ("text", "text_pair", "second_text") if name in row)
                    texts.setdefault((*words, *parts))
        return list(texts)[:count]

    @cached_property
    def untrained(self) -> list[str]:
        """Names of the tasks without a target in the training rows: only those of an earlier model can be.

        A stream may have them behind its first rows.
        """
        train = self.splits["train"].values()
        return [task.name for task in self.tasks if task.name not in self.fed_later and not count_targets(task, train)]

    def label_counts(self, split: str) -> dict[str, dict[str, int]]:
        """Per task with labels, and rows in any split, how many rows (or words) of `split` have each."""
        return {
            task.name: dict(zip(task.labels, label_counts(task, self.splits[split].values()).tolist(), strict=True))
            for task in self._labelled
            if task.has_classes
        }

    def number_summaries(self, split: str) -> dict[str, dict[str, dict[str, float]]]:
        """Per task whose targets are numbers, and per value, `count`, `mean`, `min` and `max` in `split`."""
        summaries: dict[str, dict[str, dict[str, float]]] = {}
        for task in self.tasks:
            if not task.has_classes:
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
