"""From several datasets to one stream of rows."""

from collections.abc import Sequence

from datasets import Dataset, concatenate_datasets


def mix(datasets: Sequence[Dataset]) -> Dataset:
    """All rows of all `datasets`, one after another; the Trainer's sampler then draws them in random order.

    Each row counts once per epoch, so that a dataset's share of the batches is its share of the rows.
    """
    mixed: Dataset = concatenate_datasets(list(datasets))
    return mixed
