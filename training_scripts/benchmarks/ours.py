"""hf_multitask as it is measured."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hf_multitask import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize
from hf_multitask.training.loading import train_batches

from .stopwatch import timed
from .variant import Reading, Skip
from .workload import LABELS, Workload

PLAIN = {"performance": "off", "packing": "off"}
"""Arguments that switch all means of speed off."""


def tasks(count: int) -> list[dict[str, Any]]:
    """Descriptions of `count` tasks."""
    return [{"name": f"task_{n}", "labels": [f"label_{k}" for k in range(LABELS)]} for n in range(count)]


def model(workload: Workload, num_tasks: int) -> MultiTaskModel:
    """A new model on the encoder."""
    made: Any = MultiTaskModel.from_backbone(workload.backbone, tasks=tasks(num_tasks))
    placed: MultiTaskModel = made.to(workload.device)
    return placed


def data(workload: Workload, texts: Sequence[str], num_tasks: int) -> Dataset:
    """Tokenised rows, labelled for every task."""
    return tokenize(workload.rows(texts, num_tasks), workload.tokenizer, workload.max_length)


def quiet(workload: Workload, steps: int = -1) -> dict[str, Any]:
    """Arguments of any Trainer that measures nothing but training: one epoch, or `steps`."""
    return {
        "output_dir": str(workload.scratch / "trainer"),
        "per_device_train_batch_size": workload.batch_size,
        "num_train_epochs": 1,
        "max_steps": steps,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": workload.device == "cpu",
    }


def plain() -> dict[str, Any]:
    """`PLAIN`, without arguments that this version of the package does not have: it has no such means either."""
    known = {field.name for field in dataclasses.fields(MultiTaskTrainingArguments)}
    return {name: value for name, value in PLAIN.items() if name in known}


def trainer(workload: Workload, rows: Dataset, num_tasks: int, steps: int = -1, **arguments: Any) -> MultiTaskTrainer:
    """A Trainer of a new model, with a [`Stopwatch`] as `trainer.stopwatch`.

    Raises:
        Skip: This version of the package does not have one of `arguments`.
    """
    known = {field.name for field in dataclasses.fields(MultiTaskTrainingArguments)}
    if unknown := sorted(set(arguments) - known):
        raise Skip(f"this version of hf_multitask has no argument {', '.join(unknown)}")
    made = MultiTaskTrainer(
        model(workload, num_tasks),
        MultiTaskTrainingArguments(**quiet(workload, steps) | arguments),
        train_dataset=rows,
        processing_class=workload.tokenizer,
    )
    timed(made, workload.method)
    return made


def train(made: Any) -> Any:
    """Run a Trainer with a stopwatch, ours or a peer's; the stopwatch."""
    made.stopwatch.start()
    made.train()
    return made.stopwatch


def steady(made: Any) -> Reading:
    """Run a Trainer with a stopwatch; the time of all steps but the first."""
    found: Reading = train(made).steady
    return found


def real_tokens(made: Any, first: int, last: int) -> float:
    """Real tokens of the steps of a Trainer behind the first ones and up to the last, in its first epoch."""
    order = train_batches(made.train_dataset, made.args)
    order.set_epoch(0)
    return float(made.train_dataset.tokens[np.concatenate(order.effective_batches()[first:last])].sum())


def padding(made: Any, real_tokens: int) -> float:
    """Tokens in the batches of one epoch of a Trainer, over the real ones."""
    return float(sum(batch["input_ids"].numel() for batch in made.get_train_dataloader()) / real_tokens)
