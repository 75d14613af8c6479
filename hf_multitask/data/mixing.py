"""From several datasets to one stream of rows, in an order that a seed and an epoch decide."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from ..settings.mixing_settings import MixingSettings
from .flat_columns import column_lengths

SEGMENTS = 32
"""Parts of an epoch, each with a temperature of its own where it is annealed."""

ROWS, PLACES, BATCHES = range(3)
"""What random numbers are for; each use has a stream of its own."""


class Mixture(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows of several datasets, one dataset after another, and the order in which an epoch draws them.

    An epoch draws `len(mixture)` rows under every strategy. A dataset's rows come from its own endless sequence of
    shuffled passes, and each epoch goes on where the last one stopped: over any number of epochs, no row of a dataset
    is drawn two times more than another.

    The index `len(mixture)` is a filler, for a process that has no row to take: the first row, without its targets.

    Args:
        datasets: By name, tokenised rows with `targets` and their `length`.
        settings: How much of an epoch each dataset gets.

    Raises:
        ValueError: There is no dataset, one has no rows, or the settings do not fit them.
    """

    def __init__(self, datasets: Mapping[str, Dataset], settings: MixingSettings) -> None:
        empty = [name for name, rows in datasets.items() if len(rows) == 0]
        if empty or not datasets:
            raise ValueError(
                f"A mixture must be of datasets with rows, found {f'none in {empty}' if empty else 'no dataset'}. "
                "Pass {name: rows}, and leave empty ones out."
            )
        settings.check(datasets)
        self.datasets = dict(datasets)
        self.settings = settings
        self._sizes_D = np.array([len(rows) for rows in datasets.values()])
        self._ends_D = self._sizes_D.cumsum()

    def __len__(self) -> int:
        return int(self._ends_D[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at `indices`, in that order; each dataset is read once."""
        if not all(0 <= index <= len(self) for index in indices):
            raise IndexError(
                f"Indices must be in 0 to {len(self)}, the filler, found {list(indices)}. Take them from order()."
            )
        wanted = np.asarray(indices, dtype=np.int64) % len(self)  # the filler has the tokens of row 0
        sources = np.searchsorted(self._ends_D, wanted, side="right")
        found: list[dict[str, Any]] = [{} for _ in indices]
        for source, rows in enumerate(self.datasets.values()):
            places = np.flatnonzero(sources == source)
            if places.size:
                local = wanted[places] - (self._ends_D[source] - self._sizes_D[source])
                for place, row in zip(places, rows.__getitems__(local.tolist()), strict=True):
                    found[place] = row
        return [without_targets(row) if index == len(self) else row for index, row in zip(indices, found, strict=True)]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every row, (N,)."""
        return np.concatenate([lengths_of(rows) for rows in self.datasets.values()])

    @cached_property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of every row, those of its second text included, (N,)."""
        return np.concatenate([_tokens(rows) for rows in self.datasets.values()])

    def drawn_tokens(self, seed: int, epoch: int, num_epochs: float = 1) -> int:
        """Tokens of all rows that an epoch draws; see `order` for the arguments."""
        is_whole = (self._counts(epoch, num_epochs) == self._sizes_D).all()
        if is_whole and self.settings.strategy != "annealed":  # in every epoch, so that each is one pass
            return int(self.tokens.sum())
        return int(self.tokens[self.order(seed, epoch, num_epochs)].sum())

    def shares(self, epoch: int = 0, num_epochs: float = 1) -> dict[str, int]:
        """Per dataset, how many rows an epoch draws; all together `len(mixture)`."""
        return dict(zip(self.datasets, self._counts(epoch, num_epochs).tolist(), strict=True))

    def identity(self, num_epochs: float) -> dict[str, Any]:
        """What decides the order besides the seed and the epoch, as plain values; with the epochs if annealed."""
        sizes = {name: len(rows) for name, rows in self.datasets.items()}
        annealed = {"num_epochs": num_epochs} if self.settings.strategy == "annealed" else {}
        return {"datasets": sizes, "mixing": asdict(self.settings), **annealed}

    def order(self, seed: int, epoch: int, num_epochs: float = 1) -> NDArray[np.int64]:
        """The indices of the rows that an epoch draws, (N,); a function of the arguments alone.

        Args:
            seed: Of the run.
            epoch: From 0.
            num_epochs: Of the whole run, which sets the pace of annealing.
        """
        counts_D = self._counts(epoch, num_epochs)
        starts_D = sum((self._counts(past, num_epochs) for past in range(epoch)), np.zeros_like(counts_D))
        shares_SD = self._segment_shares(epoch, num_epochs)
        rows, segments = [], []
        for source, (start, count, size) in enumerate(zip(starts_D, counts_D, self._sizes_D, strict=True)):
            passes = _passes(random_stream(seed, ROWS, source), int(size), int(start), int(count))
            rows.append(passes + self._ends_D[source] - size)
            # The dataset's draws, numbered, are spread over the segments as its share is: exact to one draw.
            ends_S = shares_SD[:, source].cumsum()
            ends_S = ends_S / (ends_S[-1] or 1.0)
            segments.append(np.searchsorted(ends_S[:-1], (np.arange(count) + 0.5) / max(count, 1), side="right"))
        noise = np.random.Generator(random_stream(seed, PLACES, epoch)).random(len(self))
        return np.concatenate(rows)[np.argsort(np.concatenate(segments) + noise, kind="stable")]

    def _counts(self, epoch: int, num_epochs: float) -> NDArray[np.int64]:
        return _apportion(self._segment_shares(epoch, num_epochs).mean(axis=0), len(self))

    def _segment_shares(self, epoch: int, num_epochs: float) -> NDArray[np.float64]:
        """Each dataset's share of the draws in each segment of an epoch, (S, D); one segment unless annealed."""
        settings = self.settings
        if settings.strategy == "annealed":
            first, last = settings.temperature  # type: ignore[misc]
            progress_S = (epoch + (np.arange(SEGMENTS) + 0.5) / SEGMENTS) / num_epochs
            temperatures = first + (last - first) * np.minimum(progress_S, 1.0)[:, None]
        else:
            temperatures = np.full((1, 1), settings.temperature or 1.0, dtype=np.float64)
        if settings.strategy == "uniform":
            sizes_D = np.ones_like(self._sizes_D)
        elif settings.weights is not None:
            sizes_D = np.array([settings.weights[name] for name in self.datasets])
        else:
            sizes_D = np.minimum(self._sizes_D, settings.size_cap or self._sizes_D.max())
        # Of the largest, so that no power overflows.
        powers_SD: NDArray[np.float64] = (sizes_D / sizes_D.max()) ** (1.0 / temperatures)
        powers_SD /= powers_SD.sum(axis=1, keepdims=True)
        return powers_SD


def lengths_of(rows: Dataset) -> NDArray[np.int64]:
    """Tokens of the text of each row, or of the longer one of two, (N,).

    Raises:
        ValueError: The rows have neither a `length` nor tokens.
    """
    if "length" in rows.column_names:
        lengths: NDArray[np.int64] = rows.with_format("numpy")["length"][:]
        return lengths
    if "input_ids" not in rows.column_names:
        raise ValueError(
            f"Batches by length or by tokens need rows with input_ids, found {rows.column_names}. Leave out "
            "max_tokens_per_batch and group_by_length, or pass tokenised rows."
        )
    return column_lengths(rows, "input_ids")


def _tokens(rows: Dataset) -> NDArray[np.int64]:
    """Tokens of both texts of each row, (N,)."""
    if "pair_input_ids" not in rows.column_names:
        return lengths_of(rows)
    return column_lengths(rows, "input_ids") + np.maximum(column_lengths(rows, "pair_input_ids"), 0)


def without_targets(row: dict[str, Any]) -> dict[str, Any]:
    """`row` with the same keys and no target, neither a label's nor another model's."""
    return row | {name: dict.fromkeys(row[name]) for name in ("targets", "teacher_logits") if name in row}


def random_stream(seed: int, *use: int) -> np.random.PCG64:
    """Random bits for one use; those of different uses, or seeds, have nothing to do with each other."""
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=use))


def _apportion(shares_D: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `total`, in proportion to `shares_D`, by largest remainder."""
    quotas_D = shares_D * total
    counts_D = np.floor(quotas_D).astype(np.int64)
    largest_first = np.argsort(counts_D - quotas_D, kind="stable")
    counts_D[largest_first[: total - counts_D.sum()]] += 1
    return counts_D


def _passes(bits: np.random.PCG64, size: int, start: int, count: int) -> NDArray[np.int64]:
    """Items `start` to `start + count` of an endless sequence of shuffled passes over `range(size)`."""
    first, last = start // size, -(-(start + count) // size)
    bits.advance(first * size)  # one step is one random float: earlier passes need not be made
    keys = np.random.Generator(bits).random((last - first, size))
    items: NDArray[np.int64] = keys.argsort(axis=1).ravel()[start - first * size :][:count]
    return items
