"""The batches that processes make of rows which are read while they are needed."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..settings.mixing_settings import MixingSettings
from .mixing import PLACES, ROWS, random_stream
from .stream import Stream
from .tokenization import hash_of

READ_AHEAD = 256
"""Rows that a process maps and tokenises together: each call costs as much as some hundred rows."""

STREAMED_STRATEGIES = ("weights", "uniform")
"""Strategies of mixing that need no number of rows."""


class StreamedMixture:
    """The rows of several datasets, at least one of them a [`Stream`], without an end and so without a length.

    Each dataset's rows come from its own endless sequence of passes, in which every row is once in each, and each draw
    is from a dataset chosen by chance, as often as its share says.

    Args:
        datasets: By name, tokenised rows; of a streamed dataset its first ones, which are not trained on.
        streams: By name, the streams.
        settings: How much each dataset gets.
        tokenizer: The backbone's.
        max_length: Tokens per text, at most.

    Raises:
        ValueError: The mixing needs numbers of rows, which a stream does not tell.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        streams: Mapping[str, Stream],
        settings: MixingSettings,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        settings.check(datasets)
        if len(datasets) > 1 and settings.strategy not in STREAMED_STRATEGIES:
            raise ValueError(
                f"mixing.strategy must be one of {list(STREAMED_STRATEGIES)} where datasets are streamed, found "
                f"{settings.strategy!r}: their numbers of rows are not known. Write mixing: uniform, for instance."
            )
        self.sources: dict[str, Dataset | Stream] = {name: streams.get(name, rows) for name, rows in datasets.items()}
        weights = [(settings.weights or {}).get(name, 1.0) for name in datasets]
        self.shares = {name: weight / sum(weights) for name, weight in zip(datasets, weights, strict=True)}
        first = next(iter(datasets.values()))[0]
        self.filler = first | {"targets": dict.fromkeys(first["targets"])}
        self._finishing = (tokenizer, max_length, hash_of(tokenizer))

    def identity(self) -> dict[str, Any]:
        """Per dataset, what decides the order of its rows besides the seed: their number, or what a stream tells."""
        return {
            name: source.identity() if isinstance(source, Stream) else len(source)
            for name, source in self.sources.items()
        }

    def draws(self, seed: int, batch_rows: int) -> Iterator[list[tuple[int, Any]]]:
        """The rows of each effective batch, each the number of its source and what `finish` asks for; without an end.

        A function of the arguments alone.
        """
        rows = [_endless(source, seed, number) for number, source in enumerate(self.sources.values())]
        shares_D = list(self.shares.values())
        for batch in itertools.count():
            generator = np.random.Generator(random_stream(seed, PLACES, batch))
            yield [
                (source, next(rows[source])) for source in generator.choice(len(rows), batch_rows, p=shares_D).tolist()
            ]

    def finish(self, drawn: Sequence[tuple[int, Any]]) -> list[dict[str, Any] | None]:
        """The tokenised rows that were drawn; `None` where one cannot be used."""
        finished: list[dict[str, Any] | None] = [None] * len(drawn)
        for number, source in enumerate(self.sources.values()):
            places = [place for place, (of, _) in enumerate(drawn) if of == number]
            wanted = [drawn[place][1] for place in places]
            if isinstance(source, Stream):
                rows = source.finish(wanted, *self._finishing)
            else:
                rows = source.__getitems__(wanted) if wanted else []
            for place, row in zip(places, rows, strict=True):
                finished[place] = row
        return finished


class StreamedBatches(torch.utils.data.IterableDataset[dict[str, Any]]):
    """The micro-batches of one process, collated, without an end.

    All processes, and all workers of each, read the same rows and keep different ones. Which rows form an effective
    batch, of `per_device * processes * accumulation` rows, depends on the seed and that product. It may have the last
    rows of one pass and the first of the next, so that every batch is full. Rows that cannot be used are missing from
    their micro-batch; one without any has the filler.

    Args:
        mixture: The rows.
        collate: Makes a batch of rows.
        per_device_batch_size: Rows of a micro-batch.
        accumulation_steps: Micro-batches of a process per effective batch.
        num_processes: Which share the rows.
        process_index: Of this process, from 0.
        seed: Of the run.
    """

    def __init__(
        self,
        mixture: StreamedMixture,
        collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
        *,
        per_device_batch_size: int,
        accumulation_steps: int = 1,
        num_processes: int = 1,
        process_index: int = 0,
        seed: int = 0,
    ) -> None:
        self.mixture = mixture
        self.collate = collate
        self.per_device_batch_size = per_device_batch_size
        self.accumulation_steps = accumulation_steps
        self.num_processes = num_processes
        self.process_index = process_index
        self.seed = seed
        self.start = 0
        """Micro-batches of this process before this one are empty: whoever resumes a run throws them away."""

    def identity(self) -> dict[str, Any]:
        """What decides which rows form which effective batch, as plain values."""
        batch = self.per_device_batch_size * self.num_processes * self.accumulation_steps
        return {"shares": self.mixture.shares, "batch": batch, "seed": self.seed, "rows": self.mixture.identity()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        mine = itertools.islice(self._micro_batches(), first, None, step)  # the loader asks its workers in turn
        size = self.per_device_batch_size
        while window := list(itertools.islice(mine, -(-READ_AHEAD // size))):
            taken = [drawn for number, drawn in window if number >= self.start]
            finished = iter(self.mixture.finish([row for drawn in taken for row in drawn]))
            for number, _ in window:
                if number < self.start:
                    yield {}
                else:
                    rows = [row for row in itertools.islice(finished, size) if row is not None]
                    yield self.collate(rows or [self.mixture.filler])

    def _micro_batches(self) -> Iterator[tuple[int, list[tuple[int, Any]]]]:
        """Number and rows of each micro-batch of this process."""
        size = self.per_device_batch_size
        step_rows = size * self.num_processes
        numbers = itertools.count()
        for batch in self.mixture.draws(self.seed, step_rows * self.accumulation_steps):
            for first in range(self.process_index * size, len(batch), step_rows):
                yield next(numbers), batch[first : first + size]


def _endless(source: Dataset | Stream, seed: int, source_number: int) -> Iterator[Any]:
    """What `finish` asks for of each row, pass after pass."""
    for pass_number in itertools.count():
        generator = np.random.Generator(random_stream(seed, ROWS, source_number, pass_number))
        if isinstance(source, Dataset):
            yield from generator.permutation(len(source)).tolist()
            continue
        count = 0
        for count, row in enumerate(source.read(pass_number, generator), 1):  # noqa: B007
            yield row
        if count == 0:
            raise ValueError(f"dataset {source.name!r}, split 'train': there must be rows, found none. Add rows.")
