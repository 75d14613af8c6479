"""Peers that train: transformers' own Trainer, and a bare loop."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from .bare_loop import BareLoop
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


def bare_loop(workload: Workload, rows: Dataset) -> BareLoop:
    """A bare loop over length-grouped batches."""
    sampler = LengthGroupedSampler(workload.batch_size, lengths=rows["length"][:])
    collate = DataCollatorWithPadding(workload.tokenizer)
    loader = DataLoader(rows.remove_columns("length"), workload.batch_size, sampler=sampler, collate_fn=collate)
    return BareLoop(model(workload), loader, Stopwatch(workload.method))
