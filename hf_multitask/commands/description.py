"""A run as the plain record that its report and its card are written from."""

import math
from pathlib import Path
from typing import Any

from ..backbones import published_name
from ..evaluation.metric import Metric
from ..evaluation.registry import metrics_of
from ..modeling.task import Task
from ..publishing.run_record import ReportedMetric, RunRecord
from ..training.loading import train_batches
from .machine import describe_machine
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
    hub_ids = {name: dataset.hub_id(Path(settings.folder)) for name, dataset in settings.datasets.items()}
    task_datasets = {
        task.name: [name for name, dataset in settings.datasets.items() if task.name in dataset.targets]
        for task in data.tasks
    }
    return RunRecord(
        name=run.folder.resolve().name,
        base_model=published_name(settings.backbone),
        base_model_is_local=Path(settings.backbone).exists(),
        pooling=trainer.model.config.pooling,
        max_length=run.tokenizer.model_max_length,
        tasks=data.tasks,
        metrics={task.name: _reported(task) for task in data.tasks},
        label_counts={split: data.label_counts(split) for split in data.splits},
        target_summaries={split: data.number_summaries(split) for split in data.splits},
        sizes=data.sizes(),
        sources={name: hub_ids[name] or Path(dataset.path or name).name for name, dataset in settings.datasets.items()},
        hub_datasets=[name for name, hub_id in hub_ids.items() if hub_id],
        streamed=list(data.streams),
        task_datasets=task_datasets,
        pair_tasks=[
            task
            for task, names in task_datasets.items()
            if all(len(settings.datasets[name].text_columns) == 2 for name in names)
        ],
        license=settings.license and settings.license.lower(),
        languages=settings.languages,
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
        embedding_size=trainer.model.config.hidden_size,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        machine=describe_machine(trainer),
        resumed=run.checkpoint is not None,
        chosen_by=(args.metric_for_best_model or "") if args.load_best_model_at_end else "",
        arguments={name: args.to_dict()[name] for name in TOLD_ARGUMENTS},
    )


def _reported(task: Task) -> list[ReportedMetric]:
    return [
        ReportedMetric(metric.name, metric.title, metric.higher_is_better)
        if isinstance(metric, Metric)
        else ReportedMetric(metric.name, metric.name, None)
        for metric in metrics_of(task)
    ]
