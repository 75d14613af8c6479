"""Validation and test splits cut from the training rows."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

logger = logging.getLogger(__name__)


def cut(
    num_rows: int, shares: Mapping[str, float], strata: Sequence[int] | None, seed: int, where: str
) -> dict[str, NDArray[np.int64]]:
    """Per split, `train` and those in `shares`, the indices of its rows, ascending; each row is in exactly one.

    Args:
        num_rows: Number N of training rows.
        shares: Per split to cut, its share of the rows; together below 1.
        strata: Of each row (N), the class whose share is to be the same in all splits. Rows of a class that has one
            stay in the training split.
        seed: Of the run.
        where: Dataset, for messages.

    Raises:
        ValueError: A split would have no row.
    """
    rest = np.arange(num_rows)
    splits: dict[str, NDArray[np.int64]] = {}
    for split, share in shares.items():
        count = round(num_rows * share)
        stays = np.zeros(len(rest), dtype=bool)
        classes: list[int] | None = None
        if strata is not None:
            found = np.asarray(strata)[rest]
            _, which, counts = np.unique(found, return_inverse=True, return_counts=True)
            stays = counts[which] == 1
            classes = found[~stays].tolist()
        movable = rest[~stays]
        if not 1 <= count < len(movable):
            raise ValueError(
                f"{where}: {split} must be a share of the training rows that leaves rows on both sides, found {share} "
                f"of {num_rows}. Choose another share, or add rows."
            )
        num_classes = len(set(classes or ()))
        if classes is not None and min(count, len(movable) - count) < num_classes:
            logger.warning(
                "%s: the %d rows of the %s split are too few for %d classes, so they are drawn without regard to these",
                *(where, count, split, num_classes),
            )
            classes = None
        kept, drawn = train_test_split(movable, test_size=count, random_state=seed, stratify=classes)
        splits[split] = np.sort(drawn)
        rest = np.sort(np.concatenate([kept, rest[stays]]))
    return {"train": rest, **splits}


def draw(num_rows: int, max_rows: int | None, seed: int) -> NDArray[np.int64] | None:
    """The indices of `max_rows` rows drawn by chance, ascending; `None` where there are no more than that."""
    if max_rows is None or num_rows <= max_rows:
        return None
    return np.sort(np.random.default_rng(seed).choice(num_rows, size=max_rows, replace=False))
