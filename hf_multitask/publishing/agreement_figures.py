"""How far the tasks' gradients agree, as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .agreement import Agreement
from .canvas import BLUE, GREY, ORANGE, drawing, panels, panels_size, plain

T = TypeVar("T")

COLOURS = LinearSegmentedColormap.from_list("agreement", [ORANGE, "#FFFFFF", BLUE])
"""From conflict over neither to agreement."""

ABSENT = "#EEEEEE"
"""Colour of a cell that nothing was measured for."""

LEAST_SPAN = 0.1
"""Colours reach at least to this cosine, so that nothing looks like much where all is little."""

MOST_NUMBERS = 15
"""With more columns than these, the cells have colours alone."""

MOST_CURVES = 6
"""Of more pairs, half so many that disagree most are drawn, and half that agree most."""

MOST_ROWS = 12
"""The same for the rows of a picture by depth."""

CHARACTER = 0.0765
"""Width in inches of a letter of 9 points, about."""


def draw_agreement(pairs: Sequence[Agreement], tasks: Sequence[str], title: str, path: Path) -> None:
    """A square of cells of tasks: the mean cosine of each two over the run.

    Args:
        pairs: What was measured.
        tasks: In the order in which they are drawn.
        title: Of the figure.
        path: Of the PNG file.
    """
    shown = [name for name in tasks if any(name in pair.tasks for pair in pairs)]
    place = {name: index for index, name in enumerate(shown)}
    means_TT = np.full((len(shown), len(shown)), np.nan)
    for pair in pairs:
        a, b = place[pair.first], place[pair.second]
        means_TT[a, b] = means_TT[b, a] = pair.mean
    names = [plain(name) for name in shown]
    _draw_cells(names, names, means_TT, title, path)


def draw_agreement_by_depth(groups: Mapping[str, Sequence[Agreement]], title: str, path: Path) -> None:
    """Cells of pairs down and groups of parameters across: the mean cosine over the run.

    Args:
        groups: Per group, from the bottom of the encoder, what was measured.
        title: Of the figure.
        path: Of the PNG file.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    for group, pairs in groups.items():
        for pair in pairs:
            means.setdefault(pair.tasks, {})[group] = pair.mean
    ranked = sorted(means, key=lambda tasks: float(np.mean(list(means[tasks].values()))))
    shown = _ends(ranked, MOST_ROWS)
    means_RC = np.array([[means[tasks].get(group, np.nan) for group in groups] for tasks in shown])
    _draw_cells([_named(tasks) for tasks in shown], list(groups), means_RC, title, path)


def draw_cosines(pairs: Sequence[Agreement], title: str, path: Path) -> None:
    """A panel of each pair's cosines over the steps, with their running mean; of many pairs those at both ends.

    Args:
        pairs: What was measured, what disagrees most first.
        title: Of the figure.
        path: Of the PNG file.
    """
    shown = _ends(pairs, MOST_CURVES)
    span = 1.05 * max(LEAST_SPAN, *(abs(cosine) for pair in shown for cosine in pair.cosines))
    width, height = panels_size(len(shown))
    with drawing(path, title, max(width, 4.6), height) as figure:
        for axes, pair in zip(panels(figure, len(shown)), shown, strict=True):
            axes.axhline(0.0, color=GREY, linewidth=0.8)
            axes.plot(pair.steps, pair.cosines, ".", color=GREY, markersize=3.5, alpha=0.5)
            axes.plot(pair.steps, running_mean(pair.cosines), color=ORANGE if pair.mean < 0 else BLUE, linewidth=1.5)
            axes.set_ylim(-span, span)
            axes.set_title(_named(pair.tasks), parse_math=False)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def running_mean(values: Sequence[float]) -> list[float]:
    """The mean around each of n values, over about a fifth of them, fewer at the ends."""
    reach = len(values) // 10
    return [float(np.mean(values[max(0, i - reach) : i + reach + 1])) for i in range(len(values))]


def _ends(pairs: Sequence[T], most: int) -> list[T]:
    return list(pairs) if len(pairs) <= most else [*pairs[: most // 2], *pairs[-(most // 2) :]]


def _named(tasks: tuple[str, str]) -> str:
    """Both, on a line of at most 41 letters."""
    first, second = tasks
    return f"{plain(first, max(19, 38 - len(second)))} | {plain(second, max(19, 38 - len(first)))}"


def _draw_cells(
    rows: Sequence[str], columns: Sequence[str], means_RC: NDArray[np.float64], title: str, path: Path
) -> None:
    finite = np.abs(means_RC[np.isfinite(means_RC)])
    span = max(float(finite.max()), LEAST_SPAN)
    small = len(columns) > MOST_NUMBERS
    cell, font = (0.24, 6.5) if small else (0.62, 9)
    letter = CHARACTER * font / 9
    left, longest = (max(map(len, names)) * letter for names in (rows, columns))
    rotation, below = (0, 0.25) if longest * 1.1 < cell else (90, longest)
    width = max(0.1 * len(title), cell * len(columns) + left + 1.3)
    height = max(0.8, cell * 0.75 * len(rows)) + below + 0.7
    with drawing(path, title, width, height) as figure:
        axes = figure.subplots()
        axes.set_facecolor(ABSENT)
        image = axes.imshow(means_RC, cmap=COLOURS, vmin=-span, vmax=span, aspect="auto")
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(len(columns)), columns, rotation=rotation, fontsize=font, parse_math=False)
        axes.set_yticks(range(len(rows)), rows, fontsize=font, parse_math=False)
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axes.tick_params(which="both", length=0)
        axes.grid(which="minor", color="white", linewidth=0.4 if small else 1.5)
        if not small:
            _write_numbers(axes, means_RC, span)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, aspect=20)
        bar.set_label("mean cosine")
        bar.outline.set_visible(False)


def _write_numbers(axes: Axes, means_RC: NDArray[np.float64], span: float) -> None:
    for (row, column), mean in np.ndenumerate(means_RC):
        if np.isfinite(mean):
            colour = "white" if abs(mean) > 0.6 * span else "#222222"
            axes.text(column, row, f"{round(mean, 2) + 0.0:.2f}", ha="center", va="center", color=colour, fontsize=8)
