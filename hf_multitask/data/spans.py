"""Where the values of each row are in a flat array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spans:
    """Places of the values of rows in a flat array, which holds one row's after another's.

    There is one more row than there are lengths, the filler: its values are the first `filler` of the array.

    Args:
        lengths: Number of values of each row, (N,); below 0 where a row has no list of values.
        filler: That number of the filler.
    """

    def __init__(self, lengths: NDArray[np.int64], filler: int) -> None:
        sizes = np.maximum(lengths, 0)
        self.lengths = np.append(lengths, filler).astype(np.int32)
        self._starts = np.append(sizes.cumsum() - sizes, 0)
        self._steps = np.arange(max(self.lengths.max(), 1))

    def places(self, rows: NDArray[np.int64], length: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where the values of B rows are, (B, L), padded to the most that a row has or to `length`; and if one is."""
        lengths_B = self.lengths[rows]
        steps_L = self._steps[: lengths_B.max()] if length is None else np.arange(length)
        return self._starts[rows][:, None] + steps_L, steps_L < lengths_B[:, None]


def gather(
    values: NDArray[Any], places: NDArray[np.int64], found: NDArray[np.bool_], missing: np.generic
) -> NDArray[Any]:
    """The `values` at `places`, and `missing` where none was `found`."""
    taken = values.take(places, axis=0, mode="clip")  # padding may point beyond the end
    return np.where(found if values.ndim == 1 else found[..., None], taken, missing)
