"""What is worth telling about a finished run, as plain values."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import datasets
import torch
import transformers

from ..modeling.task import Task


class ReportedMetric(NamedTuple):
    """A metric of a task.

    Args:
        name: Its key in the results, behind the task's name.
        title: How it is written in tables.
        higher_is_better: Its direction, `None` where it is not known.
    """

    name: str
    title: str
    higher_is_better: bool | None


LOSS = ReportedMetric("loss", "Loss", False)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, about to start (without results and what follows them) or finished.

    Args:
        name: The model's name.
        base_model: The backbone's Hub id, or the name of its folder.
        pooling: How token embeddings became the sentence embedding.
        max_length: Tokens per text, at most.
        tasks: The tasks.
        metrics: Per task, the metrics that it is reported by, the primary one first.
        label_counts: Per split and task with labels, how many rows (or words) had each label.
        target_summaries: Per split, task whose targets are numbers, and value, numbers such as `count` and `mean`.
        sizes: Per dataset and split, the number of rows.
        sources: Per dataset, where its rows came from.
        skipped_rows: How many rows could not be used.
        mixing: How several datasets shared an epoch; empty where there was nothing to share.
        epoch_rows: Per epoch and dataset, how many rows were drawn.
        retention: How the tasks of an earlier model were kept: by `replay`, by `distill`, `none`, or as they were, the
            encoder being `frozen`; empty where the run started from a bare encoder.
        before: Per split with rows for tasks of the earlier model, their metrics before training, as in `results`.
        groups: Per parameter group, its name, number of parameters, learning rate and weight decay.
        arguments: The training arguments worth telling.
        results: Per split (train, eval, test), its metrics under their full keys, such as `test_topic_accuracy`.
        intervals: Per `<task>_<metric>` of the test split, its 95 % bootstrap interval.
        calibration: Per task, numbers such as `temperature`, `ece_before` and `ece_after`; `thresholds` per label.
        confusion: Per task with one label per text (or word), how many of each right label (rows) were given each label
            (columns), on the last split that was scored.
        per_class: Per task with labels, and label (or type of entity), its `precision`, `recall`, `f1` and `support`,
            on the same split.
        adapters: Whether the folder holds adapters and heads alone.
        log_history: The Trainer's log, a mapping per line.
        samples: Texts or pairs with the answers of every task, as `prediction.predict` gives them.
    """

    name: str
    base_model: str
    pooling: str
    max_length: int
    tasks: Sequence[Task]
    metrics: Mapping[str, Sequence[ReportedMetric]]
    label_counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    sizes: Mapping[str, Mapping[str, int]]
    sources: Mapping[str, str]
    groups: Sequence[tuple[str, int, float, float]]
    arguments: Mapping[str, Any]
    target_summaries: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]] = field(default_factory=dict)
    skipped_rows: int = 0
    mixing: str = ""
    epoch_rows: Sequence[Mapping[str, int]] = ()
    retention: str = ""
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confusion: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    adapters: bool = False
    log_history: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[tuple[tuple[str, ...], Mapping[str, Mapping[str, Any]]]] = ()

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what the run stood on."""
        return {
            "Python": platform.python_version(),
            "PyTorch": torch.__version__,
            "Transformers": transformers.__version__,
            "Datasets": datasets.__version__,
        }

    @property
    def last_split(self) -> str:
        """The split that `confusion` and `per_class` are of: test, or eval where there is no test."""
        return "test" if "test" in self.results else "eval"

    def scores(self, split: str, before: bool = False) -> list[tuple[Task, dict[ReportedMetric, float]]]:
        """Per task that was scored on `split`, its metrics and its loss, after training or before."""
        found = []
        for task in self.tasks:
            prefix, results = f"{split}_{task.name}_", (self.before if before else self.results).get(split, {})
            metrics = (*self.metrics.get(task.name, ()), LOSS)
            scores = {metric: results[prefix + metric.name] for metric in metrics if prefix + metric.name in results}
            if scores:
                found.append((task, scores))
        return found
