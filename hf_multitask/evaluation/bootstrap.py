"""How far a score could be off because the split has no more rows than it has.

Letters of the shapes: R rows with a target, B resamples.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..modeling.task import Task
from .answers import Floats, read_answers
from .metric import Metric
from .registry import metrics_of

CHUNK = 1_000_000
"""Weights held at a time: few enough for the memory, enough for numpy."""


def confidence_intervals(
    tasks: Iterable[Task],
    predictions: Mapping[str, Any],
    label_ids: Mapping[str, Any],
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval of each metric that is computed here, by `<task>_<metric>`.

    Rows (texts, of words too) are drawn with replacement from those that have a target for the task, as many as there
    are. Average and worst of the tasks have none: their rows overlap in part. Nor have `evaluate`'s own metrics, nor
    those of a model whose outputs are no numbers.

    Args:
        tasks: The model's tasks.
        predictions: Per task, the logits of the split.
        label_ids: Per task, the labels of the split.
        samples: Number of resamples.
        seed: The resamples are a function of it, and of the task's rows alone.
        level: Share of resamples within the interval, in (0, 1).

    Raises:
        ValueError: The number of resamples or the level cannot be.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(
            f"An interval needs samples >= 1 and a level in (0, 1), found {samples} and {level}. Pass samples=1000 and "
            "level=0.95, for instance."
        )
    intervals = {}
    for task in tasks:
        if task.name not in label_ids:
            continue
        answers = read_answers(task, predictions[task.name], label_ids[task.name])
        if answers is None or not answers.is_finite:
            continue
        metrics = [m for m in metrics_of(task) if isinstance(m, Metric) and m.holds(answers)]
        drawn: dict[str, list[Floats]] = {metric.name: [] for metric in metrics}
        for weights_BR in resamples(answers.row_count, samples, seed):
            for metric in metrics:
                drawn[metric.name].append(metric.compute(answers, weights_BR))
        for name, values in drawn.items():
            low, high = np.quantile(np.concatenate(values), [(1 - level) / 2, (1 + level) / 2])
            intervals[f"{task.name}_{name}"] = (float(low), float(high))
    return intervals


def resamples(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each row was drawn, (B, R) at a time, `samples` in all."""
    generator = np.random.default_rng(seed)
    size = max(1, CHUNK // rows)
    for start in range(0, samples, size):
        count = min(size, samples - start)
        drawn = generator.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)
