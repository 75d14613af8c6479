"""Rows with the same text: one split has them all, and no score is of a text that was trained on without a word."""

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[np.uint64]

logger = logging.getLogger(__name__)


SPACE = r"[\s\p{Z}\x0b\x1c-\x1f\x85]+"
"""What stands between words, however much of it there is."""


def text_hashes(rows: Dataset) -> Keys:
    """Of each mapped row a number that tells its text, or both of its texts, or its words, from others: a hash.

    Split records have them, so they are to stay as they are.
    """
    return _hashes({name: text.to_pandas() for name, text in _texts(rows).items()})


def text_keys(rows: Dataset, in_any_order: bool = False) -> Keys:
    """As [`text_hashes`], the same for texts that differ by the space at their ends and between words alone.

    Args:
        rows: Mapped rows.
        in_any_order: Whether a pair is the same as one of the same texts the other way round.
    """
    plain = {
        name: pc.utf8_trim_whitespace(pc.replace_substring_regex(text, SPACE, " ")).to_pandas()
        for name, text in _texts(rows).items()
    }
    if in_any_order and len(plain) > 1:
        hashes = np.sort([_hashes({name: text}) for name, text in plain.items()], axis=0)
        plain = {name: pd.Series(of_name) for name, of_name in zip(plain, hashes, strict=True)}
    return _hashes(plain)


def _texts(rows: Dataset) -> dict[str, Any]:
    table = rows.with_format("arrow")[:]
    texts = {name: table[name] for name in ("text", "text_pair", "second_text") if name in table.column_names}
    if "words" in table.column_names:
        texts["words"] = pc.binary_join(table["words"], " ")
    return texts


def _hashes(columns: Mapping[str, Any]) -> Keys:
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(columns), index=False), dtype=np.uint64)


def warn_of_trained_texts(splits: Mapping[str, Mapping[str, Dataset]]) -> None:
    """Say how many rows to be scored have a text that is among the training rows, of any dataset.

    Args:
        splits: Per split and dataset, the mapped rows.
    """
    trained = {name: np.concatenate(_all_keys(rows)) for name, rows in splits.get("train", {}).items()}
    if not trained:
        return
    trained_N = np.unique(np.concatenate(list(trained.values())))
    for split, datasets in splits.items():
        for name, rows in datasets.items() if split != "train" else ():
            keys = _all_keys(rows)
            count = int(np.isin(keys, trained_N).any(axis=0).sum())
            own = int(np.isin(keys, trained[name]).any(axis=0).sum()) if name in trained else 0
            if count:
                logger.warning(
                    "Dataset %r, split %r: %d of %d rows have a text that is trained on too, %d of them in the same "
                    "dataset, so that their scores tell less of new texts. Keep a text in one split; where datasets "
                    "share texts, make them one dataset with all targets",
                    *(name, split, count, len(rows), own),
                )


def _all_keys(rows: Dataset) -> list[Keys]:
    """The keys of the rows; of the pairs of a similarity, to which the order is the same, also those in any order."""
    return [text_keys(rows), *([text_keys(rows, in_any_order=True)] if "second_text" in rows.column_names else [])]
