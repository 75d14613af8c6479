"""What a Trainer knows of its run, as the plain record that a card is written from."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerState

from ..backbones import published_name
from ..data.mixing import Mixture
from ..evaluation.metric import Metric
from ..evaluation.registry import metrics_of
from ..modeling.backbone import num_positions
from ..modeling.reading import UNLIMITED
from ..modeling.task import Task
from ..publishing.run_record import UNKNOWN, ReportedMetric, RunRecord
from .layerwise import find_backbone

BATCH_SIZE, MAX_TOKENS = "per_device_train_batch_size", "max_tokens_per_batch"

TOLD_ARGUMENTS = (
    "num_train_epochs",
    BATCH_SIZE,
    "gradient_accumulation_steps",
    "optim",
    "lr_scheduler_type",
    "warmup_steps",
    "layer_decay",
    "embeddings_lr_scale",
    "freeze",
    "gradual_unfreezing_steps",
    "balancing",
    "conflict_steps",
    "seed",
)
"""Those of the training arguments that a card tells, where they have a value."""

DATA = "data"
"""What a card calls the rows of a Trainer that knows no names for them."""


def describe_trainer(trainer: Any) -> RunRecord:
    """The record of a run of which no more is known than its Trainer does: no counts of labels, no names of files."""
    config = trainer.model.config
    text_config = config.text_config
    start = config.name_or_path or text_config._name_or_path  # an earlier model, or an encoder; empty if built in code
    length = getattr(trainer.processing_class, "model_max_length", UNLIMITED)
    limits = length if length < UNLIMITED else None, num_positions(find_backbone(trainer.model))
    train = trainer.train_dataset
    rows = {name: len(rows) for name, rows in train.datasets.items()} if isinstance(train, Mixture) else {}
    if list(rows) == ["train"]:  # what the Trainer itself calls the only one
        rows = {DATA: rows["train"]}
    groups = trainer.optimizer.param_groups if trainer.optimizer is not None else []
    return RunRecord(
        name=(trainer.hub_model_id or Path(trainer.args.output_dir).resolve().name).rpartition("/")[2],
        base_model=published_name(start) if start else text_config.model_type,
        base_model_on_hub=bool(start) and not (Path(start).is_absolute() or Path(start).exists()),
        base_has_tasks=bool(config.name_or_path),
        pooling=config.pooling,
        max_length=min((limit for limit in limits if limit), default=0),
        tasks=config.tasks,
        metrics={task.name: reported_metrics(task) for task in config.tasks},
        label_counts={},
        sizes={name: {"train": count} for name, count in rows.items()},
        sources=dict.fromkeys(rows or [DATA], UNKNOWN),
        groups=[
            (group["name"], sum(p.numel() for p in group["params"]), group["initial_lr"], group["weight_decay"])
            for group in groups
            if {"name", "initial_lr"} <= set(group)
        ],
        embedding_size=config.hidden_size,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        arguments=told_arguments(trainer),
    )


def record_so_far(record: RunRecord, trainer: Any) -> RunRecord:
    """The record with the results that the Trainer's log holds, those of the weights that it has now."""
    state = trainer.state
    results = {**record.results, **_results(trainer)}
    unfinished = ""
    if trainer.is_in_train:
        unfinished = f"step {state.global_step} of {state.max_steps}"
        if "eval" in results:
            unfinished += f", with the scores of step {results['eval']['step']:.0f}"
    return dataclasses.replace(
        record,
        tasks=trainer.model.config.tasks,
        results=results,
        log_history=state.log_history,
        unfinished=unfinished,
        chosen_by="" if unfinished else chosen_by(trainer),
        adapters=hasattr(trainer.model, "peft_config"),
    )


def chosen_by(trainer: Any) -> str:
    """The metric whose best checkpoint a trained model is; empty where none was chosen, as of a metric that was NaN."""
    chosen = trainer.args.load_best_model_at_end and trainer.state.best_model_checkpoint is not None
    return (trainer.args.metric_for_best_model or "") if chosen else ""


def reported_metrics(task: Task) -> list[ReportedMetric]:
    """The metrics of a task, as a card names them."""
    return [
        ReportedMetric(metric.name, metric.title, metric.higher_is_better)
        if isinstance(metric, Metric)
        else ReportedMetric(metric.name, metric.name, None)
        for metric in metrics_of(task)
    ]


def told_arguments(trainer: Any) -> dict[str, Any]:
    """The training arguments that a card tells."""
    values = trainer.args.to_dict()
    told = {name: values[name] for name in TOLD_ARGUMENTS if values.get(name) is not None}
    if values["max_steps"] > 0:  # the epochs are not read then
        told = {"max_steps": values["max_steps"]} | {name: told[name] for name in told if name != "num_train_epochs"}
    if values[MAX_TOKENS] is not None:  # the batch size is not read then
        told = {MAX_TOKENS if name == BATCH_SIZE else name: value for name, value in told.items()}
        told[MAX_TOKENS] = values[MAX_TOKENS]
    return told


def _results(trainer: Any) -> dict[str, Mapping[str, float]]:
    """Per split, the last results in the log: of a test split, only if they are of the weights of now."""
    state: TrainerState = trainer.state
    best = state.best_global_step if trainer.args.load_best_model_at_end and not trainer.is_in_train else None
    found: dict[str, Mapping[str, float]] = {}
    for line in state.log_history:
        step = line["step"]
        if "eval_loss" in line and (best is None or step == best):
            found["eval"] = line
        if "test_loss" in line and step == state.global_step and not trainer.is_in_train:
            found["test"] = line
    return found
