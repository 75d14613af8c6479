"""Which rows one process takes in which step, so that all processes together take each row once."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .mixing import BATCHES, random_stream
from .token_cut import TokenCut

WINDOW = 64
"""Effective batches whose rows are sorted by length together; more pads less and mixes less."""

SAMPLING_STRATEGIES = ("random", "sequential", "group_by_length")


class Ordered(Protocol):
    """What a batch order needs to know of the rows; a [`Mixture`] has it."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every row, (N,)."""

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of every row, those of its second text included, (N,)."""

    def drawn_tokens(self, seed: int, epoch: int, num_epochs: float) -> int:
        """Tokens of all rows that an epoch draws."""

    def __len__(self) -> int: ...

    def order(self, seed: int, epoch: int, num_epochs: float) -> NDArray[np.int64]:
        """The indices of the rows that an epoch draws, (N,)."""

    def identity(self, num_epochs: float) -> dict[str, Any]:
        """What decides the order besides the seed and the epoch, as plain values."""


class BatchOrder(torch.utils.data.Sampler[list[int]]):
    """The micro-batches of one process: a `batch_sampler`, which Accelerate must not shard again.

    The epoch's order is cut into effective batches, of `per_device * processes * accumulation` rows. Which rows form
    one depends on the seed, the epoch and that product; only then are they spread over processes and micro-batches.
    All processes have equally many micro-batches. In the last, short effective batch they are as even as can be, and
    where there are fewer rows than processes the others take the filler, the index `len(rows)`.

    `group_by_length` makes effective batches of rows of similar length: it sorts stretches of the order, cuts them and
    shuffles the batches, so that padding is little and short batches do not come before long ones. Within an effective
    batch, neighbours in length share a micro-batch, and the micro-batches of one step are neighbours.

    With `max_tokens`, micro-batches have at most so many tokens in place of `per_device_batch_size` rows. All epochs
    have equally many effective batches, none is short, and each has as many tokens as the others, to a row or two;
    which rows form one depends on their number too. See [`TokenCut`].

    Args:
        rows: A [`Mixture`].
        per_device_batch_size: Rows of a micro-batch, where `max_tokens` is not given.
        accumulation_steps: Micro-batches of a process per effective batch.
        num_processes: Which share the epoch.
        process_index: Of this process, from 0.
        seed: Of the run.
        num_epochs: Of the whole run, if `max_steps` does not say when it ends.
        max_steps: Effective batches of the whole run, if above 0.
        sampling_strategy: `random`, `sequential` (in the order of the datasets and their rows) or `group_by_length`.
        drop_last: Whether the short effective batch is left out.
        max_tokens: Tokens of a micro-batch, at most; padding is not counted.

    Raises:
        ValueError: A number is too small, the strategy is unknown, or no batch is left.
    """

    def __init__(
        self,
        rows: Ordered,
        *,
        per_device_batch_size: int,
        accumulation_steps: int = 1,
        num_processes: int = 1,
        process_index: int = 0,
        seed: int = 0,
        num_epochs: float = 1,
        max_steps: int = -1,
        sampling_strategy: str = "random",
        drop_last: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        if min(per_device_batch_size, accumulation_steps, num_processes) < 1 or process_index not in range(
            num_processes
        ):
            raise ValueError(
                "per_device_batch_size, accumulation_steps and num_processes must be at least 1 and process_index "
                f"below num_processes, found {per_device_batch_size}, {accumulation_steps}, {num_processes} and "
                f"{process_index}. Pass those of the run."
            )
        if sampling_strategy not in SAMPLING_STRATEGIES:
            raise ValueError(
                f"train_sampling_strategy must be one of {list(SAMPLING_STRATEGIES)}, found {sampling_strategy!r}. "
                "Choose one of these."
            )
        self.rows = rows
        self.per_device_batch_size = per_device_batch_size
        self.accumulation_steps = accumulation_steps
        self.num_processes = num_processes
        self.process_index = process_index
        self.seed = seed
        self.num_epochs = num_epochs
        self.sampling_strategy = sampling_strategy
        self.epoch = 0
        step_rows = per_device_batch_size * num_processes
        self._batch_rows = step_rows * accumulation_steps
        self._num_full, rest = divmod(len(rows), self._batch_rows)
        self._last_steps = 0 if drop_last else -(-rest // step_rows)
        self._token_cut = None
        if max_tokens is not None:
            self._token_cut = TokenCut(rows.tokens, max_tokens, accumulation_steps * num_processes)
            self._num_full, self._last_steps = self._count_batches(max_steps), 0
        if len(self) == 0:
            raise ValueError(
                f"There must be a full batch of {self._batch_rows} rows where the last, short one is dropped, found "
                f"{len(rows)} rows. Pass dataloader_drop_last=False, or a smaller batch."
            )
        if max_steps > 0:
            self.num_epochs = max_steps / self._steps_per_epoch

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`, from 0."""
        self.epoch = epoch

    def identity(self) -> dict[str, Any]:
        """What decides which rows form which effective batch: with the same of it, a resumed run takes those left."""
        return {
            **self.rows.identity(self.num_epochs),
            "batch": self._batch_rows if self._token_cut is None else f"{self._num_full} an epoch, cut by tokens",
            "seed": self.seed,
            "sampling_strategy": self.sampling_strategy,
            "drop_last": not self._last_steps,
        }

    def __len__(self) -> int:
        return self._num_full * self.accumulation_steps + self._last_steps

    @property
    def rows_per_batch(self) -> int:
        """Rows of an effective batch, in the mean over those of an epoch."""
        return round(len(self.rows) / self._steps_per_epoch)

    def __iter__(self) -> Iterator[list[int]]:
        for parts in self._parts():
            for part in parts[self.process_index :: self.num_processes]:
                yield part.tolist() or [len(self.rows)]

    def effective_batches(self) -> list[NDArray[np.int64]]:
        """The rows of each effective batch of the epoch, which all processes share."""
        order = self.rows.order(self.seed, self.epoch, self.num_epochs)
        if self._token_cut is not None:
            return [np.concatenate(parts) for parts in self._cut_by_tokens(self._token_cut, order)]
        if not self._last_steps:
            order = order[: self._num_full * self._batch_rows]
        if self.sampling_strategy == "group_by_length":
            return self._grouped(order)
        if self.sampling_strategy == "sequential":
            order.sort()
        return np.split(order, range(self._batch_rows, len(order), self._batch_rows))

    @property
    def _steps_per_epoch(self) -> int:
        return self._num_full + bool(self._last_steps)

    def _count_batches(self, max_steps: int) -> int:
        """Effective batches of an epoch: as many as the epoch of the run with most tokens needs.

        Where steps are given, fewer epochs may follow from more batches, and other epochs of an annealed mixture. So
        this goes on until no epoch that is left needs more.
        """
        assert self._token_cut is not None
        count, num_epochs = 0, 1.0 if max_steps > 0 else self.num_epochs
        while True:
            epochs = range(max(1, math.ceil(num_epochs)))
            needed = max(self.rows.drawn_tokens(self.seed, epoch, num_epochs) for epoch in epochs)
            previous, count = count, max(count, self._token_cut.count(needed))
            if max_steps <= 0 or count == previous:
                return count
            num_epochs = max_steps / count

    def _parts(self) -> Iterator[list[NDArray[np.int64]]]:
        """The micro-batches of all processes for each effective batch of the epoch."""
        if self._token_cut is not None:
            order = self.rows.order(self.seed, self.epoch, self.num_epochs)
            yield from self._cut_by_tokens(self._token_cut, order)
            return
        for batch in self.effective_batches():
            steps = self.accumulation_steps if len(batch) == self._batch_rows else self._last_steps
            yield np.array_split(batch, steps * self.num_processes)

    def _cut_by_tokens(self, cut: TokenCut, order: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
        """The rows of `order` in effective batches of micro-batches, of similar length where they are grouped."""
        if self.sampling_strategy == "sequential":
            order.sort()
        if self.sampling_strategy != "group_by_length":
            return cut.cut(order, self._num_full)
        generator = np.random.Generator(random_stream(self.seed, BATCHES, self.epoch))
        num_windows = -(-self._num_full // WINDOW)
        windows = [
            rows[np.argsort(self.rows.tokens[rows], kind="stable")] for rows in np.array_split(order, num_windows)
        ]
        windows[1::2] = [rows[::-1] for rows in windows[1::2]]  # for the batch with rows of two windows
        batches = cut.cut(np.concatenate(windows), self._num_full)
        places = [generator.permutation(window) for window in np.array_split(np.arange(len(batches)), num_windows)]
        return [batches[place] for place in itertools.chain(*places)]

    def _grouped(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The rows of `order` in batches of similar length, the short one last."""
        generator = np.random.Generator(random_stream(self.seed, BATCHES, self.epoch))
        num_batches = -(-len(order) // self._batch_rows)
        batches: list[NDArray[np.int64]] = []
        for window in np.array_split(np.arange(num_batches), -(-num_batches // WINDOW)):
            rows = order[window[0] * self._batch_rows : (window[-1] + 1) * self._batch_rows]
            rows = rows[np.argsort(self.rows.lengths[rows], kind="stable")]
            # Only the last window leaves a short batch; it may be of any length of rows, too.
            start = generator.integers(len(window)) * self._batch_rows
            short = slice(start, start + len(rows) % self._batch_rows)
            batches += list(generator.permutation(np.delete(rows, short).reshape(-1, self._batch_rows)))
        return [*batches, rows[short]] if len(rows[short]) else batches
