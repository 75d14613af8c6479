"""What sharing an encoder did to each task, as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from .canvas import BLUE, ORANGE, drawing, plain
from .transfer_record import Difference, TransferRecord, gain_of
from .transfer_tables import MARKS, metric_title

COLOURS = LinearSegmentedColormap.from_list("transfer", [ORANGE, "#FFFFFF", BLUE])
"""From lost over nothing to gained."""

ABSENT = "#EEEEEE"
"""Colour of a cell that nothing was trained for."""

LEAST_SPAN = 0.01
"""Colours reach at least to this gain, so that nothing looks like much where all is little."""


def draw_transfer(transfer: TransferRecord, title: str, path: Path) -> None:
    """Cells of tasks down and seeds across, with their mean at the right: what the shared model gave.

    Args:
        transfer: What was measured.
        title: Of the figure.
        path: Of the PNG file.
    """
    rows = []
    for task in transfer.tasks:
        mean = task.difference
        # Per seed the same unit of colour as of the mean.
        cells = [(gain_of(value, task.single, task.higher_is_better), f"{value:+.4f}") for value in mean.by_seed]
        rows.append([*cells, _cell(mean)])
    columns = [*(f"seed {seed}" for seed in transfer.seeds), "mean"]
    _draw(_names(transfer), columns, rows, "", title, path)


def draw_pairs(transfer: TransferRecord, title: str, path: Path) -> None:
    """Cells of tasks down and their partners across, with all tasks at the right: what sharing gave the task.

    The arguments are those of [`draw_transfer`].
    """
    names = [task.task for task in transfer.tasks]
    rows = [[*(_cell(task.beside.get(name)) for name in names), _cell(task.difference)] for task in transfer.tasks]
    _draw(_names(transfer), [*names, "all"], rows, "trained beside", title, path)


def _names(transfer: TransferRecord) -> list[str]:
    """The tasks, with their metrics and which way these are good."""
    return [f"{plain(task.task)}\n{metric_title(task)}" for task in transfer.tasks]


def _cell(found: Difference | None) -> tuple[float, str]:
    return (np.nan, "") if found is None else (found.gain, f"{found.mean:+.4f}{MARKS[found.verdict]}")


def _draw(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[tuple[float, str]]],
    label: str,
    title: str,
    path: Path,
) -> None:
    gains_RC: NDArray[np.float64] = np.array([[gain for gain, _ in row] for row in cells])
    finite = np.abs(gains_RC[np.isfinite(gains_RC)])
    span = max(float(finite.max()) if finite.size else 0.0, LEAST_SPAN)
    longest = max(len(line) for name in rows for line in name.split("\n")) * 0.0085 * 9
    names = [plain(name) for name in columns]
    rotation = 0 if max(map(len, names)) * 0.0085 * 9 < 0.95 else 90
    below = 0.3 if rotation == 0 else max(map(len, names)) * 0.0085 * 9
    width = max(5.2, 0.0085 * 12 * len(title) * 0.85, 1.0 * len(columns) + longest + 1.4)
    with drawing(path, title, width, 0.45 * len(rows) + below + 1.0) as figure:
        axes = figure.subplots()
        axes.set_facecolor(ABSENT)
        image = axes.imshow(gains_RC, cmap=COLOURS, vmin=-span, vmax=span, aspect="auto")
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(len(columns)), names, rotation=rotation, parse_math=False)
        axes.set_yticks(range(len(rows)), rows, parse_math=False)
        axes.set_xlabel(label)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        for row, found in enumerate(cells):
            for column, (gain, text) in enumerate(found):
                dark = np.isfinite(gain) and abs(gain) > 0.6 * span
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "#222222")
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, aspect=12, format=PercentFormatter(1.0, 1, ""))
        bar.set_label("worse (-) or better (+):\npoints of a score, % of an error")
        bar.outline.set_visible(False)
