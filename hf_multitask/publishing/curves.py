"""The Trainer's log as pictures: losses, metrics and learning rates over the steps."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.ticker import MaxNLocator

from .canvas import BLUE, ORANGE, drawing, panels, panels_size, plain
from .run_record import ReportedMetric

Log: TypeAlias = Sequence[Mapping[str, Any]]

MOST_NAMED = 14
"""Of so many parameter groups the names are written, spread evenly over them."""


def points(log: Log, key: str) -> tuple[list[int], list[float]]:
    """The steps at which `key` was logged, and its values."""
    found = {line["step"]: float(line[key]) for line in log if key in line and "step" in line}
    return list(found), list(found.values())


def draw_losses(log: Log, tasks: Iterable[str], path: Path) -> bool:
    """A panel of the total loss and one of each task's, in training and on the validation split, if any was logged."""
    keys = {"all tasks, weighted": ("loss", "eval_loss")}
    keys |= {name: (f"loss/{name}", f"eval_{name}_loss") for name in tasks}
    shown = {name: found for name, found in keys.items() if any(points(log, key)[0] for key in found)}
    if not shown:
        return False
    with drawing(path, "Loss by optimiser step", *panels_size(len(shown))) as figure:
        for index, (axes, (name, (train, evaluation))) in enumerate(
            zip(panels(figure, len(shown)), shown.items(), strict=True)
        ):
            steps, values = points(log, train)
            axes.plot(steps, values, color=BLUE, linewidth=1.0, marker="." if len(steps) == 1 else "", label="training")
            steps, values = points(log, evaluation)
            if steps:
                axes.plot(steps, values, color=ORANGE, linewidth=1.2, marker="o", markersize=3.5, label="validation")
            _finish(axes, name)
            if index == 0:
                axes.legend(fontsize=8)
    return True


def draw_metrics(log: Log, primary: Mapping[str, ReportedMetric], path: Path) -> bool:
    """A panel of each task's primary metric on the validation split, its best value marked, if any was logged."""
    shown = {name: found for name in primary if (found := points(log, f"eval_{name}_{primary[name].name}"))[0]}
    if not shown:
        return False
    with drawing(
        path, "Primary metrics on the validation split, by optimiser step", *panels_size(len(shown))
    ) as figure:
        for axes, (name, (steps, values)) in zip(panels(figure, len(shown)), shown.items(), strict=True):
            axes.plot(steps, values, color=ORANGE, linewidth=1.2, marker="o", markersize=3.5)
            _mark_best(axes, steps, values, bool(primary[name].higher_is_better))
            _finish(axes, name)
            axes.set_ylabel(primary[name].title, parse_math=False)
    return True


def draw_learning_rates(log: Log, path: Path) -> bool:
    """A line of each parameter group's learning rate, coloured by depth, if any was logged."""
    names = list(dict.fromkeys(key[3:] for line in log for key in line if key.startswith("lr/")))
    if not names:
        return False
    depths = {name: int(found[1]) for name in names if (found := re.fullmatch(r"layers\.(\d+)", name))}
    named = _spread(names, depths)
    colours: Colormap = mpl.colormaps["viridis"]
    with drawing(path, "Learning rates by optimiser step", 7.2, 4.2) as figure:
        (axes,) = panels(figure, 1)
        for name in names:
            steps, values = points(log, f"lr/{name}")
            if name in depths:
                style: dict[str, Any] = {"color": colours(0.9 * depths[name] / max(1, *depths.values()))}
            else:
                style = {"color": ORANGE if name.startswith("heads") else "black", "linestyle": "--"}
            marker = "." if len(steps) == 1 else ""
            axes.plot(
                steps, values, linewidth=1.2, marker=marker, label=plain(name) if name in named else None, **style
            )
        _finish(axes, "")
        axes.set_ylabel("learning rate")
        peaks = [max(rates) for name in names if any(rates := points(log, f"lr/{name}")[1])]
        if peaks:  # a schedule that ends at 0 would else stretch the scale without end
            axes.set_yscale("log")
            axes.set_ylabel("learning rate (log scale)")
            axes.set_ylim(min(peaks) / 100, max(peaks) * 1.5)
        figure.legend(loc="outside right upper", fontsize=8, title="group")
    return True


def _mark_best(axes: Axes, steps: Sequence[int], values: Sequence[float], higher_is_better: bool) -> None:
    """A ring around the first best value, and its number above or below it."""
    numbers = [place for place, value in enumerate(values) if math.isfinite(value)]
    if not numbers:
        return
    best = (max if higher_is_better else min)(numbers, key=values.__getitem__)
    axes.plot(steps[best], values[best], "o", color=ORANGE, markersize=8, fillstyle="none")
    axes.margins(x=0.1, y=0.2)  # room for the number, also where the best value is the first or the last
    offset, side = (7, "bottom") if higher_is_better else (-7, "top")
    where: dict[str, Any] = {"xytext": (0, offset), "textcoords": "offset points", "ha": "center", "va": side}
    axes.annotate(f"{values[best]:.3f}", (steps[best], values[best]), fontsize=8, **where)


def _spread(names: Sequence[str], depths: Mapping[str, int]) -> set[str]:
    """The names to write: all that are no layer, and layers spread evenly from the first to the last."""
    layers = sorted(depths, key=lambda name: depths[name])
    room = max(2, MOST_NAMED - (len(names) - len(layers)))
    if len(layers) > room:
        layers = [layers[round(place * (len(layers) - 1) / (room - 1))] for place in range(room)]
    return {name for name in names if name not in depths} | set(layers)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(plain(title), parse_math=False)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
