"""A run as the plain record that its report and its card are written from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backbones import published_name
from ..modeling.configuration_multitask import MultiTaskConfig
from ..publishing.run_record import RunRecord
from ..settings.lora_settings import LoraSettings
from ..training.description import reported_metrics, told_arguments
from ..training.loading import train_batches
from .machine import describe_machine
from .run import Run


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
        base_model=published_name(settings.from_checkpoint or settings.backbone or ""),
        base_model_on_hub=not Path(settings.from_checkpoint or settings.backbone or "").exists(),
        pooling=trainer.model.config.pooling,
        max_length=run.tokenizer.model_max_length,
        tasks=data.tasks,
        metrics={task.name: reported_metrics(task) for task in data.tasks},
        label_counts={split: data.label_counts(split) for split in data.splits},
        target_summaries={split: data.number_summaries(split) for split in data.splits},
        sizes=data.sizes(),
        sources={
            name: hub_ids[name] or Path(dataset.path or name).name or Path(dataset.path or name).resolve().name
            for name, dataset in settings.datasets.items()
        },
        hub_datasets=[name for name, hub_id in hub_ids.items() if hub_id],
        streamed=list(data.streams),
        task_datasets=task_datasets,
        pair_tasks=[
            task
            for task, names in task_datasets.items()
            if names and all(len(settings.datasets[name].text_columns) == 2 for name in names)
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
        retention=run.retention,
        arguments=told_arguments(trainer) | _lora(settings.lora),
    )


def _lora(settings: LoraSettings | None) -> dict[str, str]:
    """The settings of LoRA, where it was used, as one of the arguments that a card tells."""
    if settings is None:
        return {}
    modules = "all linear layers" if settings.target_modules is None else ", ".join(settings.target_modules)
    merged = "merged into the encoder" if settings.merge else "kept apart"
    return {
        "lora": f"rank {settings.rank}, alpha {settings.alpha:g}, dropout {settings.dropout:g}, {modules}; {merged}"
    }


def scored_record(
    config: MultiTaskConfig,
    results: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> RunRecord:
    """The record of which only the scores are known.

    Args:
        config: Of the model.
        results: Per split (train, eval, test), its metrics under their full keys.
        intervals: Per `<task>_<metric>` of the last of these splits, its interval.
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
