"""Training rows of one dataset, read while they are needed, in passes."""

import contextlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset, Features, IterableDataset
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import PreTrainedTokenizerBase

from ..modeling.task import Task
from ..settings.dataset_settings import DatasetSettings
from .mapping import forms_of, map_rows
from .skipped_rows import check_none_skipped
from .tokenization import tokenize, warn_of_lost_words

logger = logging.getLogger(__name__)

BUFFER = 10_000
"""Rows among which the next is drawn; more mixes a file better and holds more in memory."""

CHUNK = 100
"""Rows that are read together."""


class RawRow(NamedTuple):
    """A row as it was read: in which pass, from which part (from 0), its number there (from 0), and its cells."""

    pass_number: int
    part: int
    number: int
    cells: dict[str, Any]


class Stream:
    """The training rows of one dataset, read in passes; each takes its parts (files, mostly) in an order of its own.

    Args:
        name: The user's name for the dataset.
        rows: Its raw rows.
        settings: Which columns mean what.
        tasks: All the model's tasks.
        skips_invalid: Whether rows that cannot be used are left out, each with a warning in the first pass, or end the
            run.
    """

    def __init__(
        self, name: str, rows: IterableDataset, settings: DatasetSettings, tasks: Sequence[Task], *, skips_invalid: bool
    ) -> None:
        self.name = name
        self.settings = settings
        self.tasks = list(tasks)
        self.skips_invalid = skips_invalid
        targets = [column for task in settings.targets for column in settings.target_columns(task)]
        self._columns = list(dict.fromkeys([*settings.text_columns, *targets]))
        self._rows = rows.select_columns(self._columns)  # the others would be decoded, images too
        self.num_skipped = 0
        self._has_told_of_lost_words = False

    def identity(self) -> dict[str, Any]:
        """What decides the order of a pass, as far as it is known without reading, as plain values."""
        return {"parts": self._rows.num_shards, "max_rows": self.settings.max_rows}

    def read(self, pass_number: int, generator: np.random.Generator) -> Iterator[RawRow]:
        """All rows of one pass, each once, in an order that `generator` decides; `BUFFER` of them are held.

        With `max_rows`, a pass has the first ones of the first parts, the same in each.
        """
        max_rows = self.settings.max_rows
        parts: Sequence[int] = range(self._rows.num_shards)
        if max_rows is None:
            parts = generator.permutation(len(parts)).tolist()
        return _shuffled(itertools.islice(self._in_parts(pass_number, parts), max_rows), generator, BUFFER)

    def finish(
        self, raw: Sequence[RawRow], tokenizer: PreTrainedTokenizerBase, max_length: int, tokenizer_hash: str | None
    ) -> list[dict[str, Any] | None]:
        """Each row mapped and tokenised; `None` where it cannot be used.

        Raises:
            ValueError: A row cannot be used, and is not to be skipped.
        """
        found: dict[tuple[int, int], dict[str, Any]] = {}
        by_part: dict[tuple[int, int], list[RawRow]] = defaultdict(list)
        for row in raw:
            by_part[row.pass_number, row.part].append(row)
        with _no_progress_bars():
            for (_, part), rows in by_part.items():
                usable = self._map(part, rows)
                if len(usable) == 0:
                    continue
                tokenized = tokenize(usable, tokenizer, max_length, tokenizer_hash)
                if not self._has_told_of_lost_words:
                    self._has_told_of_lost_words = warn_of_lost_words(usable, tokenized, max_length)
                for row in tokenized:
                    found[part, int(row["row"].rpartition("/")[2]) - 1] = row
        return [found.get((row.part, row.number)) for row in raw]

    def _in_parts(self, pass_number: int, parts: Iterable[int]) -> Iterator[RawRow]:
        for part in parts:
            # Not row by row: in a worker of a loader, `__iter__` would leave out the parts of other workers.
            chunks = self._rows.shard(self._rows.num_shards, part).iter(CHUNK)
            rows = (cells for chunk in chunks for cells in zip(*(chunk[name] for name in self._columns), strict=True))
            for number, cells in enumerate(rows):
                yield RawRow(pass_number, part, number, dict(zip(self._columns, cells, strict=True)))

    def _map(self, part: int, raw: list[RawRow]) -> Dataset:
        """The rows of a part that can be used, in the one form that their tasks read."""
        split = "train" if self._rows.num_shards == 1 else f"train/part {part + 1}"
        known = self._rows.features
        features = known and Features({column: known[column] for column in self._columns})
        rows = Dataset.from_list([row.cells for row in raw], features=features)
        numbers = [row.number for row in raw]
        usable, skipped = map_rows(rows, self.settings, self.tasks, self.name, split, numbers)
        if not self.skips_invalid:
            check_none_skipped(skipped)
        if raw[0].pass_number == 0:  # in which every row is met once, by one of the processes
            for row in skipped:
                self.num_skipped += 1
                logger.warning("Row left out, the number %d of this process: %s", self.num_skipped, row.reason)
        (formed,) = forms_of(self.name, usable, self.settings, self.tasks).values()
        return formed


def _shuffled(rows: Iterator[RawRow], generator: np.random.Generator, buffer: int) -> Iterator[RawRow]:
    """The `rows`, each drawn from a buffer that the next one then fills."""
    held = list(itertools.islice(rows, buffer))
    for row in rows:
        place = int(generator.integers(buffer))
        yield held[place]
        held[place] = row
    yield from (held[place] for place in generator.permutation(len(held)))


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """No bar for each few rows."""
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()
