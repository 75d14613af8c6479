"""Peers that train: transformers' own Trainer, a bare loop, and the Trainer of sentence-transformers."""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from .ours import quiet
from .stopwatch import Stopwatch, timed
from .workload import LABELS, Workload

GROUPED = {"train_sampling_strategy": "group_by_length"}


def data(workload: Workload, texts: Sequence[str]) -> Dataset:
    """Tokenised rows with a label, and their `length`, which saves the Trainer from counting."""
    encoded = workload.encoded(texts)
    labels = [row["task_0"] for row in workload.rows(texts, 1)["targets"]]
    return Dataset.from_dict({**encoded, "label": labels, "length": [len(ids) for ids in encoded["input_ids"]]})


def model(workload: Workload) -> Any:
    """A new classifier on the encoder."""
    made = AutoModelForSequenceClassification.from_pretrained(workload.backbone, num_labels=LABELS)
    return made.to(workload.device)


def trainer(workload: Workload, rows: Dataset, steps: int = -1, **arguments: Any) -> Trainer:
    """A Trainer of a new classifier, at its defaults but for `arguments`."""
    made = Trainer(
        model(workload),
        TrainingArguments(**quiet(workload, steps) | arguments),
        train_dataset=rows,
        processing_class=workload.tokenizer,
    )
    return timed(made, workload.method)


class BareLoop:
    """What a careful user writes by hand, with the Trainer's optimizer, schedule and clipping.

    Args:
        model: Returns a loss.
        loader: Its batches.
        optimizer: AdamW, one kernel for all parameters, unless given.
        stopwatch: Told of every step.
    """

    def __init__(self, model: nn.Module, loader: Any, stopwatch: Stopwatch, optimizer: Any = None) -> None:
        self.model = model
        self.loader = loader
        self.stopwatch = stopwatch
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = optimizer or torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0, fused=True)

    def train(self, steps: int = -1, backward: Any = None) -> None:
        """One epoch, or `steps`.

        Args:
            steps: Where to stop.
            backward: Fills the gradients from the outputs; by default `outputs.loss.backward()`.
        """
        schedule = get_linear_schedule_with_warmup(self.optimizer, 0, max(steps, len(self.loader)))
        device = next(self.model.parameters()).device
        self.model.train()
        for number, batch in enumerate(self.loader):
            if number == steps:
                break
            outputs = self.model(**_moved(batch, device))
            backward(outputs) if backward else outputs.loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            schedule.step()
            self.optimizer.zero_grad()
            self.stopwatch.step()


def bare_loop(workload: Workload, rows: Dataset) -> BareLoop:
    """A bare loop over length-grouped batches."""
    sampler = LengthGroupedSampler(workload.batch_size, lengths=rows["length"][:])
    collate = DataCollatorWithPadding(workload.tokenizer)
    loader = DataLoader(rows.remove_columns("length"), workload.batch_size, sampler=sampler, collate_fn=collate)
    return BareLoop(model(workload), loader, Stopwatch(workload.method))


def _moved(batch: Any, device: torch.device) -> dict[str, Any]:
    """A batch on the device."""
    return {
        name: _moved(value, device) if isinstance(value, dict) else value.to(device)
        for name, value in batch.items()
        if name != "row_ids"
    }
