"""Which labels are taken for which, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from .canvas import drawing, plain

MOST_NUMBERS = 15
"""With more labels than these, the cells have colours alone."""


def draw_confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], title: str, path: Path) -> None:
    """A square of cells, right labels down and given labels across, coloured by the share of the right label's answers.

    Args:
        labels: The C labels.
        counts: How many of each right label (rows) were given each label (columns), (C, C).
        title: Of the figure.
        path: Of the PNG file.
    """
    counts_CC = np.asarray(counts, dtype=np.int64)
    totals_C = counts_CC.sum(axis=1, keepdims=True)
    shares_CC = counts_CC / np.maximum(totals_C, 1)
    size, small = len(labels), len(labels) > MOST_NUMBERS
    names, font = [plain(label) for label in labels], 6.5 if small else 9
    cells = max(2.0, size * (0.17 if small else 0.5))  # inches, as all that follows
    longest = max(map(len, names)) * 0.0085 * font
    rotation, below = (0, 0.2) if longest * 1.1 < cells / size else (90, longest)
    with drawing(path, title, cells + longest + 1.2, cells + below + 0.8) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares_CC, cmap="Blues", vmin=0.0, vmax=1.0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(size), names, rotation=rotation, fontsize=font, parse_math=False)
        axes.set_yticks(range(size), names, fontsize=font, parse_math=False)
        axes.tick_params(length=0)
        axes.set_xlabel("given label")
        axes.set_ylabel("right label")
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
