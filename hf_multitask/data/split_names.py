"""By what names the splits of a dataset are known, be they files or splits of their own."""

import logging
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

SPLIT_STEMS = {"train": ("train",), "validation": ("validation", "valid", "dev", "val"), "test": ("test",)}
"""Split -> what it may be called, in capitals or not."""


def split_of(name: str) -> str | None:
    """The split that `name` stands for, if any."""
    return next((split for split, stems in SPLIT_STEMS.items() if name.lower() in stems), None)


def by_split(names: Sequence[str], stem: Callable[[str], str] = str) -> dict[str, list[str]]:
    """Those of the `names` that stand for a split, by split.

    Args:
        names: Of files or splits.
        stem: The part of a name that tells.
    """
    found = {split: [name for name in names if split_of(stem(name)) == split] for split in SPLIT_STEMS}
    return {split: of_split for split, of_split in found.items() if of_split}


def one_by_split(where: str, names: Sequence[str]) -> dict[str, str]:
    """Of the splits of a dataset, called `names`, the one for each of ours; what is left over is told.

    Raises:
        ValueError: There are several for one; the message says that the dataset stands at `where`.
    """
    found = by_split(names)
    for split, of_split in found.items():
        if len(of_split) > 1:
            raise ValueError(
                f"{where}, split {split!r}: one split called {' or '.join(SPLIT_STEMS[split])} must be there, found "
                f"{of_split}. Name the right ones in splits."
            )
    left_over = [name for name in names if split_of(name) is None]
    tell_left_over(where, left_over, "name those that are to be used in splits")
    return {split: of_split[0] for split, of_split in found.items()}


def tell_left_over(where: str, names: Sequence[str], what_to_do: str) -> None:
    """Warn of `names` that stand for no split, and so of rows that nobody reads."""
    if names:
        stems = "; ".join(", ".join(of_split) for of_split in SPLIT_STEMS.values())
        logger.warning(
            "%s: not read are %s, which are the names of no split (%s). Rename them, or %s",
            *(where, list(names), stems, what_to_do),
        )
