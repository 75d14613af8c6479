"""Rows with the same text: one split has them all, and no score is of a text that was trained on without a word."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def text_keys(rows: Dataset) -> NDArray[np.uint64]:
    """Of each mapped row a number that tells its text, or both of its texts, or its words, from others: a hash."""
    table = rows.with_format("arrow")[:]
    texts = {name: table[name] for name in ("text", "text_pair", "second_text") if name in table.column_names}
    if "words" in table.column_names:
        texts["words"] = pc.binary_join(table["words"], " ")
    columns = pd.DataFrame({name: texts[name].to_pandas() for name in texts})
    return np.asarray(pd.util.hash_pandas_object(columns, index=False), dtype=np.uint64)


def warn_of_trained_texts(splits: Mapping[str, Mapping[str, Dataset]]) -> None:
    """Say how many rows to be scored have a text that is among the training rows, of any dataset.

    Args:
        splits: Per split and dataset, the mapped rows.
    """
    trained = {name: text_keys(rows) for name, rows in splits.get("train", {}).items()}
    if not trained:
        return
    trained_N = np.unique(np.concatenate(list(trained.values())))
    for split, datasets in splits.items():
        for name, rows in datasets.items() if split != "train" else ():
            keys = text_keys(rows)
            count = int(np.isin(keys, trained_N).sum())
            own = int(np.isin(keys, trained[name]).sum()) if name in trained else 0
            if count:
                logger.warning(
                    "Dataset %r, split %r: %d of %d rows have a text that is trained on too, %d of them in the same "
                    "dataset, so that their scores tell less of new texts. Keep a text in one split; where datasets "
                    "share texts, make them one dataset with all targets",
                    *(name, split, count, len(rows), own),
                )
