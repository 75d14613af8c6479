"""What all figures share: their look, and PNG files that are a function of what is drawn alone."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#5A5A5A"
"""Two colours of Okabe and Ito (2008), told apart with any colour vision, and one for what is beside the point."""

STYLE: Any = {
    "axes.edgecolor": "#B0B0B0",
    "axes.facecolor": "white",
    "axes.labelcolor": GREY,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "white",
    "figure.titlesize": 12,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that figures are the same anywhere
    "font.size": 9,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 130,
    "savefig.pad_inches": 0.1,
    "text.usetex": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

MOST_CHARACTERS = 24
"""Longer labels are cut."""

MOST_NAMES = 100
"""With more labels than these a figure has no room for their names; it would need memory and time without bound."""


@contextmanager
def drawing(path: Path, title: str, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, which is then written to `path`; pyplot and its backend are left alone.

    Args:
        path: A PNG file; its folder is made.
        title: What it shows, with its unit.
        width: In inches.
        height: In inches.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A box stands for a character that the font does not have; the csv files have it.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", parse_math=False)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata={"Software": None})  # nothing in it of when and by what


def plain(label: str, most: int = MOST_CHARACTERS) -> str:
    """A label on one line, cut to `most` characters where it is longer."""
    text = " ".join(label.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def panels(figure: Figure, count: int) -> list[Axes]:
    """`count` axes in rows of up to three, gridded."""
    columns = min(count, 3)
    rows = -(-count // columns)
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    for used in axes[:count]:
        used.grid(axis="y")
        used.set_axisbelow(True)
    return axes[:count]


def panels_size(count: int) -> tuple[float, float]:
    """Width and height in inches of a figure with `count` panels."""
    return 3.4 * min(count, 3) + 0.4, 2.4 * -(-count // 3) + 0.5
