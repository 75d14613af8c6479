"""A table as a bar chart."""

from pathlib import Path

from hf_multitask.publishing.canvas import BLUE, GREY, drawing

from .markdown import number
from .table import Table


def draw(table: Table, path: Path) -> None:
    """Write the medians of a table, with the least and greatest values as whiskers, to a PNG file; ours in blue."""
    rows = table.rows()
    if not rows:
        return
    with drawing(path, f"{table.title} [{table.unit}]", width=9.0, height=0.9 + 0.3 * len(rows)) as figure:
        axes = figure.subplots()
        medians = [row["median"] for row in rows]
        below = [row["median"] - row["least"] for row in rows]
        above = [row["greatest"] - row["median"] for row in rows]
        colours = [BLUE if row["ours"] else "#B8B8B8" for row in rows]
        places = list(range(len(rows)))
        whiskers = {"ecolor": GREY, "elinewidth": 1, "capsize": 2}
        axes.barh(places, medians, xerr=[below, above], color=colours, height=0.65, error_kw=whiskers)
        axes.set_yticks(places, [row["variant"] for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        least, greatest = min(row["least"] for row in rows), max(row["greatest"] for row in rows)
        axes.set_xlim(min(0, 1.12 * least), max(0, 1.12 * greatest) or 1)
        for place, row in zip(places, rows, strict=True):
            axes.annotate(
                number(row["median"]), (row["greatest"], place), (4, 0), textcoords="offset points", va="center"
            )
