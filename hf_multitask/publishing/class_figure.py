"""How well each label is found, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .canvas import BLUE, GREY, MOST_NAMES, drawing, plain


def draw_classes(classes: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """A bar of each label's F1, with its number and the label's support beside it.

    With more than `MOST_NAMES` labels, the outline of the bars alone, the longest on top, and the size is bounded.

    Args:
        classes: Per label, its `f1` and its `support`, in the order in which they are drawn, from the top.
        title: Of the figure.
        path: Of the PNG file.
    """
    if len(classes) > MOST_NAMES:
        _draw_outline(sorted(found["f1"] for found in classes.values()), title, path)
        return
    names = [plain(label) for label in classes]
    scores = [scores["f1"] for scores in classes.values()]
    many = len(names) > 15
    height, font = (0.17, 6.5) if many else (0.3, 9)
    longest = max(len(name) for name in names)
    with drawing(path, title, 4.9 + 0.008 * font * longest, height * (len(names) + 1) + 0.9) as figure:
        axes = figure.subplots()
        axes.barh(range(len(names)), scores, color=BLUE, height=0.7)
        axes.set_yticks(range(len(names)), names, fontsize=font, parse_math=False)
        axes.set_ylim(len(names) - 0.4, -1.4)
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("F1, from 0 to 1")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        columns = {"F1": [f"{score:.2f}" for score in scores]}
        columns["support"] = [f"{int(found['support']):,}" for found in classes.values()]
        for right, (header, cells) in zip((1.12, 1.33), columns.items(), strict=True):
            for place, cell in enumerate([header, *cells], start=-1):
                where = axes.get_yaxis_transform()  # across in shares of the axes, down in labels
                axes.text(right, place, cell, ha="right", va="center", fontsize=font, color=GREY, transform=where)


def _draw_outline(scores: Sequence[float], title: str, path: Path) -> None:
    with drawing(path, title, 6.0, 5.0) as figure:
        axes = figure.subplots()
        axes.stairs(scores, orientation="horizontal", fill=True, color=BLUE)
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0, len(scores))
        axes.set_xlabel("F1, from 0 to 1")
        axes.set_ylabel("number of labels with this F1 or less")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
