"""Rows for evaluation, sorted so that little is padded, and results in the rows' own order again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .flat_rows import FlatRows


class LongestFirst(torch.utils.data.Dataset[dict[str, Any]]):
    """The batches of `rows`, those with the longest first texts first: if memory is too small, one knows early.

    Args:
        rows: All rows.
    """

    def __init__(self, rows: FlatRows) -> None:
        self._rows = rows
        self._order = np.argsort(-rows.lengths, kind="stable")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The batch of one row."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """The batch of the rows at these places of the sorted order."""
        return self._rows.__getitems__(self._order[indices].tolist())

    def restored(self, results: Any) -> Any:
        """Arrays of all rows in sorted order, (N, ...), or several of them in a structure, in the rows' own order."""
        if isinstance(results, Mapping):
            return {name: self.restored(values) for name, values in results.items()}
        if isinstance(results, list | tuple):
            return type(results)(self.restored(values) for values in results)
        if results is None:
            return None
        restored = np.empty_like(results)
        restored[self._order] = results
        return restored
