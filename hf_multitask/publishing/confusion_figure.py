"""Which labels are taken for which, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from .canvas import MOST_NAMES, drawing, plain

MOST_NUMBERS = 15
"""With more labels than these, the cells have colours alone."""

SIDE = 10.0
"""Of the square, in inches, where labels have no names."""

MOST_CELLS = 1000
"""In a row, of which each has a pixel at least; of more labels, several share a cell."""


def draw_confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], title: str, path: Path) -> None:
    """A square of cells, right labels down and given labels across, coloured by the share of the right label's answers.

    With more than `MOST_NAMES` labels, these are told by their place alone, and the size is bounded. With more than
    `MOST_CELLS`, a cell has the greatest share of the several that it stands for.

    Args:
        labels: The C labels.
        counts: How many of each right label (rows) were given each label (columns), (C, C).
        title: Of the figure.
        path: Of the PNG file.
    """
    counts_CC = np.asarray(counts, dtype=np.int64)
    totals_C = counts_CC.sum(axis=1, keepdims=True)
    shares_CC = counts_CC / np.maximum(totals_C, 1)
    size, small, is_named = len(labels), len(labels) > MOST_NUMBERS, len(labels) <= MOST_NAMES
    names, font = [plain(label) for label in labels] if is_named else ["0,000"], 6.5 if small else 9
    cells = max(2.0, size * (0.17 if small else 0.5)) if is_named else SIDE  # inches, as all that follows
    longest = max(map(len, names)) * 0.0085 * font
    rotation, below = (0, 0.2) if longest * 1.1 < cells / size else (90, longest)
    with drawing(path, title, cells + longest + 1.2, cells + below + 0.8) as figure:
        axes = figure.subplots()
        edges = (-0.5, size - 0.5, size - 0.5, -0.5)
        image = axes.imshow(_cells(shares_CC), cmap="Blues", vmin=0.0, vmax=1.0, extent=edges, interpolation="nearest")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0 if is_named else 3)
        how = "" if is_named else ", by its place among the labels, from 0"
        axes.set_xlabel(f"given label{how}")
        axes.set_ylabel(f"right label{how}")
        if is_named:
            axes.set_xticks(range(size), names, rotation=rotation, fontsize=font, parse_math=False)
            axes.set_yticks(range(size), names, fontsize=font, parse_math=False)
            # Thin white lines between the cells.
            axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
            axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
            axes.grid(which="minor", color="white" if not small else "#EEEEEE", linewidth=1.5 if not small else 0.4)
            axes.tick_params(which="minor", length=0)
        if not small:
            for (row, column), count in np.ndenumerate(counts_CC):
                colour = "white" if shares_CC[row, column] > 0.55 else "#222222"
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
        bar = figure.colorbar(
            image, ax=axes, fraction=0.04, pad=0.02, aspect=25, format=PercentFormatter(1.0, decimals=0)
        )
        bar.set_label("share of the row")
        bar.outline.set_visible(False)


def _cells(shares_CC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest share of each block of neighbouring labels, as few to a block as `MOST_CELLS` allows."""
    starts = range(0, len(shares_CC), -(-len(shares_CC) // MOST_CELLS))
    cells: NDArray[np.float64] = np.maximum.reduceat(np.maximum.reduceat(shares_CC, starts, axis=0), starts, axis=1)
    return cells
