"""Peers that train: transformers' own Trainer, and a bare loop."""

from collections.abc import Iterator, Sequence
from typing import Any

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from .bare_loop import BareLoop
from .ours import quiet
from .stopwatch import Stopwatch, timed
from .workload import LABELS, Workload

GROUPED = {"train_sampling_strategy": "group_by_length"}

MEGA_BATCH = 50
"""Batches that are sorted by length together, as in an epoch of thousands of rows; in a short one it would be few."""


def data(workload: Workload, texts: Sequence[str]) -> Dataset:
    """Tokenised rows with a label, and their `length`, which saves the Trainer from counting."""
    encoded = workload.encoded(texts)
    labels = [row["task_0"] for row in workload.rows(texts, 1)["targets"]]
    return Dataset.from_dict({**encoded, "label": labels, "length": [len(ids) for ids in encoded["input_ids"]]})


def model(workload: Workload) -> Any:
    """A new classifier on the encoder."""
    made = AutoModelForSequenceClassification.from_pretrained(workload.backbone, num_labels=LABELS)
    return made.to(workload.device)


class StockTrainer(Trainer):
    """transformers' Trainer, which groups a short epoch by length as it would a long one."""

    mega_batch = MEGA_BATCH

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        return _sampler(self.train_dataset, self.args.train_batch_size, self.mega_batch)


class _Grouped(LengthGroupedSampler):
    mega_batch = MEGA_BATCH

    def __iter__(self) -> Iterator[int]:
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, self.mega_batch, self.generator))


def _sampler(rows: Any, batch_size: int, mega_batch: int = MEGA_BATCH) -> LengthGroupedSampler:
    sampler = _Grouped(batch_size, lengths=rows["length"][:])
    sampler.mega_batch = mega_batch
    return sampler


def trainer(workload: Workload, rows: Dataset, steps: int = -1, **arguments: Any) -> Trainer:
    """A Trainer of a new classifier, at its defaults but for `arguments`."""
    made = StockTrainer(
        model(workload),
        TrainingArguments(**quiet(workload, steps) | arguments),
        train_dataset=rows,
        processing_class=workload.tokenizer,
    )
    timed(made, workload.method)
    return made


def bare_loop(workload: Workload, rows: Dataset) -> BareLoop:
    """A bare loop over length-grouped batches."""
    sampler = _sampler(rows, workload.batch_size)
    collate = DataCollatorWithPadding(workload.tokenizer)
    loader = DataLoader(rows.remove_columns("length"), workload.batch_size, sampler=sampler, collate_fn=collate)
    return BareLoop(model(workload), loader, Stopwatch(workload.method))
