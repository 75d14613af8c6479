"""Validation and test splits cut from the training rows."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

logger = logging.getLogger(__name__)


def cut(
    texts: NDArray[Any], shares: Mapping[str, float], strata: Sequence[int] | None, seed: int, where: str
) -> dict[str, NDArray[np.int64]]:
    """Per split, `train` and those in `shares`, the indices of its rows, ascending; each row is in exactly one.

    Texts are drawn, not rows: what has been trained on is not scored.

    Args:
        texts: Of each training row (N), its text, or what stands for it.
        shares: Per split to cut, its share of the texts; together below 1.
        strata: Of each row (N), the class whose share is to be the same in all splits; of a text, that of its first
            row. Texts of a class that has one stay in the training split.
        seed: Of the run.
        where: Dataset, for messages.

    Raises:
        ValueError: A split would have no row.
    """
    text_of_row = pd.factorize(texts)[0]  # in the order of their first rows
    _, firsts = np.unique(text_of_row, return_index=True)
    strata_of_texts = None if strata is None else np.asarray(strata)[firsts]
    parts = _cut_texts(len(firsts), shares, strata_of_texts, seed, where)
    return {split: np.flatnonzero(np.isin(text_of_row, part)) for split, part in parts.items()}


def _cut_texts(
    num_texts: int, shares: Mapping[str, float], strata: NDArray[Any] | None, seed: int, where: str
) -> dict[str, NDArray[np.int64]]:
    rest = np.arange(num_texts)
    splits: dict[str, NDArray[np.int64]] = {}
    for split, share in shares.items():
        count = round(num_texts * share)
        stays = np.zeros(len(rest), dtype=bool)
        classes: list[int] | None = None
        if strata is not None:
            found = strata[rest]
            _, which, counts = np.unique(found, return_inverse=True, return_counts=True)
            stays = counts[which] == 1
            classes = found[~stays].tolist()
        movable = rest[~stays]
        if not 1 <= count < len(movable):
            alone = f", {stays.sum():,} of which are the only one of their class and stay" if stays.any() else ""
            raise ValueError(
                f"{where}: {split} must be a share of the training texts that leaves texts on both sides, found "
                f"{share} of {num_texts:,}{alone}. Choose another share, add rows, or give a file of its own."
            )
        num_classes = len(set(classes or ()))
        if classes is not None and min(count, len(movable) - count) < num_classes:
            logger.warning(
                "%s: the %d texts of the %s split are too few for %d classes, so they are drawn regardless of these",
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
