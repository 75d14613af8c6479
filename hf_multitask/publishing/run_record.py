"""What is worth telling about a finished run, as plain values."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import datasets
import torch
import transformers

from ..modeling.task import Task
from .samples import Sample
from .transfer_record import TransferRecord


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


class Machine(NamedTuple):
    """What a run computed on.

    Args:
        processes: How many.
        device: The name of each one's device, torch's.
        precision: Of the numbers it computed with.
    """

    processes: int
    device: str
    precision: str


UNKNOWN = "unknown"
"""Source of rows of which nobody said where they came from."""

LOSS = ReportedMetric("loss", "Loss", False)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, about to start (without results and what follows them), under way or finished.

    Args:
        name: The model's name.
        base_model: The backbone's Hub id, or the name of its folder.
        base_model_on_hub: Whether it is a Hub id; where that is not told, it is one if it has a slash.
        base_has_tasks: Whether it is a model of tasks itself, and not an encoder alone.
        pooling: How token embeddings became the sentence embedding.
        max_length: Tokens per text, at most.
        tasks: The tasks.
        metrics: Per task, the metrics that it is reported by, the primary one first.
        label_counts: Per split and task with labels, how many rows (or words) had each label.
        target_summaries: Per split, task whose targets are numbers, and value, numbers such as `count` and `mean`.
        sizes: Per dataset and split, the number of rows; where a similarity reads the pairs of a dataset that others
            read too, by a name of its own.
        sources: Per dataset, where its rows came from: its Hub id, the name of a file or folder, or `UNKNOWN`.
        hub_datasets: Names of the datasets that came from the Hub.
        streamed: Names of the datasets whose training rows were streamed; `label_counts` and `sizes` have the first.
        task_datasets: Per task, the names of the datasets with its targets; of all where it is not told.
        pair_tasks: Names of the tasks that were trained on pairs of texts alone.
        license: Of the model, as the user gave it.
        languages: Of the texts, as the user gave them: codes of ISO 639.
        skipped_rows: How many rows could not be used.
        mixing: How several datasets shared an epoch; empty where there was nothing to share.
        epoch_rows: Per epoch and dataset, how many rows were drawn.
        retention: How the tasks of an earlier model were kept: by `replay`, by `distill`, `none`, or as they were, the
            encoder being `frozen`; empty where the run started from a bare encoder.
        before: Per split with rows for tasks of the earlier model, their metrics before training, as in `results`.
        groups: Per parameter group, its name, number of parameters, learning rate and weight decay.
        embedding_size: Size of the sentence embedding.
        parameters: Number of the model's parameters, those that did not learn among them.
        machine: What the run computed on.
        resumed: Whether the run went on from a checkpoint.
        chosen_by: The validation metric whose best checkpoint the model is; empty where it is the last one.
        arguments: The training arguments worth telling.
        results: Per split (train, eval, test), its metrics under their full keys, such as `test_topic_accuracy`.
        intervals: Per `<task>_<metric>` of the last split that was scored, its 95 % bootstrap interval.
        calibration: Per task, numbers such as `temperature`, `ece_before` and `ece_after`; `thresholds` per label. The
            temperature is `None` where the validation rows told none.
        confusion: Per task with one label per text (or word), how many of each right label (rows) were given each label
            (columns), on the last split that was scored.
        per_class: Per task with labels, and label (or type of entity), its `precision`, `recall`, `f1` and `support`,
            on the same split.
        transfer: Whether sharing the encoder helped, where that was measured.
        unfinished: Where training stands, in words; empty when it has ended.
        adapters: Whether the folder holds adapters and heads alone.
        log_history: The Trainer's log, a mapping per line.
        samples: Texts or pairs, each with the pipeline's answers and with the likeliest labels.
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
    base_model_on_hub: bool | None = None
    base_has_tasks: bool = False
    hub_datasets: Sequence[str] = ()
    streamed: Sequence[str] = ()
    task_datasets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pair_tasks: Sequence[str] = ()
    license: str | None = None
    languages: Sequence[str] = ()
    embedding_size: int = 0
    parameters: int = 0
    machine: Machine | None = None
    resumed: bool = False
    chosen_by: str = ""
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
    transfer: TransferRecord | None = None
    unfinished: str = ""
    adapters: bool = False
    log_history: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Sample] = ()

    @property
    def calibrated(self) -> dict[str, Mapping[str, Any]]:
        """That of `calibration` whose temperature was fitted, by task."""
        return {name: found for name, found in self.calibration.items() if found["temperature"] is not None}

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
    def on_hub(self) -> bool:
        """Whether the backbone has an id on the Hub."""
        return "/" in self.base_model if self.base_model_on_hub is None else self.base_model_on_hub

    def dataset_of(self, rows: str) -> str:
        """The dataset whose rows go by this name in `sizes`; one that has pairs for similarities too has two names."""
        return rows if rows in self.sources else rows.rpartition(":")[0]

    @property
    def trained_sources(self) -> dict[str, str]:
        """Per dataset with training rows, where its rows came from, where that is known."""
        trained = {self.dataset_of(name) for name, sizes in self.sizes.items() if sizes.get("train")}
        return {name: source for name, source in self.sources.items() if source != UNKNOWN and name in trained}

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
