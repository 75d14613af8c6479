"""A run as the plain record that its report and its card are written from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backbones import published_name
from ..evaluation.metric import Metric
from ..evaluation.registry import metrics_of
from ..modeling.configuration_multitask import MultiTaskConfig
from ..modeling.task import Task
from ..publishing.run_record import ReportedMetric, RunRecord
from ..training.loading import train_batches
from .run import Run

TOLD_ARGUMENTS = (
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "optim",
    "lr_scheduler_type",
    "warmup_steps",
    "layer_decay",
    "embeddings_lr_scale",
    "bf16",
    "seed",
)
"""Those of the training arguments that a card tells."""


def describe_run(run: Run) -> RunRecord:
    """The record of a run that is about to start."""
    settings, data, trainer = run.settings, run.data, run.trainer
    mixture: Any = trainer.train_dataset
    args = trainer.args
    epochs = args.num_train_epochs if data.streams else train_batches(mixture, args).num_epochs
    several = len(data.splits["train"]) > 1
    return RunRecord(
        name=run.folder.resolve().name,
        base_model=published_name(settings.backbone),
        pooling=trainer.model.config.pooling,
        max_length=run.tokenizer.model_max_length,
        tasks=data.tasks,
        metrics={task.name: reported_metrics(task) for task in data.tasks},
        label_counts={split: data.label_counts(split) for split in data.splits},
        target_summaries={split: data.number_summaries(split) for split in data.splits},
        sizes=data.sizes(),
        sources={name: Path(dataset.path or name).name for name, dataset in settings.datasets.items()},
        skipped_rows=len(data.skipped),
        adapters=settings.lora is not None and not settings.lora.merge,
        mixing=settings.mixing.strategy if several else "",
        epoch_rows=[mixture.shares(epoch, epochs) for epoch in range(math.ceil(epochs))]
        if several and not data.streams
        else [],
        groups=[
            (group["name"], sum(p.numel() for p in group["params"]), group["lr"], group["weight_decay"])
            for group in trainer.parameter_groups()
        ],
        arguments={name: args.to_dict()[name] for name in TOLD_ARGUMENTS},
    )


def scored_record(
    config: MultiTaskConfig,
    results: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> RunRecord:
    """The record of which only the scores are known.

    Args:
        config: Of the model.
        results: Per split (train, eval, test), its metrics under their full keys.
        intervals: Per `<task>_<metric>` of the test split, its interval.
    """
    return RunRecord(
        name="",
        base_model="",
        pooling=config.pooling,
        max_length=0,
        tasks=config.tasks,
        metrics={task.name: reported_metrics(task) for task in config.tasks},
        label_counts={},
        sizes={},
        sources={},
        groups=(),
        arguments={},
        results=results,
        intervals=intervals or {},
    )


def reported_metrics(task: Task) -> list[ReportedMetric]:
    """The metrics that a task is reported by, the primary one first."""
    return [
        ReportedMetric(metric.name, metric.title, metric.higher_is_better)
        if isinstance(metric, Metric)
        else ReportedMetric(metric.name, metric.name, None)
        for metric in metrics_of(task)
    ]
