"""From a training dataset to the batches of one process."""

import math
from collections.abc import Mapping
from typing import Any

from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import seed_worker

from ..data.batches import BatchOrder
from ..data.mixing import Mixture
from ..settings.mixing_settings import MixingSettings
from .arguments import MultiTaskTrainingArguments
from .frozen import embed_rows


def as_mixture(dataset: Any) -> Any:
    """A [`Mixture`] of one dataset of rows, or of several by name; anything else as it is."""
    if isinstance(dataset, Dataset):
        return Mixture({"train": dataset}, MixingSettings())
    if isinstance(dataset, Mapping):
        return Mixture(dataset, MixingSettings())
    return dataset


def embedded(model: nn.Module, dataset: Any, collate: Any, batch_size: int) -> Any:
    """A dataset, or [`Mixture`], of texts with the embeddings of a frozen encoder in their place; else as it is."""
    if isinstance(dataset, Mixture):
        parts = {name: embedded(model, rows, collate, batch_size) for name, rows in dataset.datasets.items()}
        return Mixture(parts, dataset.settings)
    has_texts = isinstance(dataset, Dataset) and "input_ids" in dataset.column_names
    return embed_rows(model, dataset, collate, batch_size) if has_texts else dataset


def train_batches(mixture: Mixture, args: MultiTaskTrainingArguments) -> BatchOrder:
    """The order in which this process reads `mixture`: a function of the seed and the epoch alone."""
    order = BatchOrder(
        mixture,
        per_device_batch_size=args.per_device_train_batch_size,
        accumulation_steps=args.gradient_accumulation_steps,
        num_processes=args.world_size,
        process_index=args.process_index,
        seed=args.seed if args.data_seed is None else args.data_seed,
        num_epochs=args.num_train_epochs,
        sampling_strategy=str(args.train_sampling_strategy),
        drop_last=args.dataloader_drop_last,
    )
    if args.max_steps > 0:
        order.num_epochs = args.max_steps / math.ceil(len(order) / args.gradient_accumulation_steps)
    return order


def train_loader(order: BatchOrder, collate: Any, args: MultiTaskTrainingArguments) -> DataLoader[Any]:
    """A loader of the batches in `order`, which is that of this process: Accelerate must not shard it again."""
    workers = args.dataloader_num_workers
    return DataLoader(
        order.rows,  # type: ignore[arg-type]  # a Mixture
        batch_sampler=order,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=args.dataloader_pin_memory,
        persistent_workers=args.dataloader_persistent_workers,
        prefetch_factor=args.dataloader_prefetch_factor if workers else None,
        worker_init_fn=(lambda worker: seed_worker(worker, workers, args.process_index)) if workers else None,
    )
