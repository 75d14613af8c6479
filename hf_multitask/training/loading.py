"""From a training dataset to the batches of one process."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import seed_worker

from ..data.batches import BatchOrder
from ..data.flat_rows import flattened
from ..data.mixing import Mixture
from ..data.streaming import StreamedBatches, StreamedMixture
from ..settings.mixing_settings import MixingSettings
from .arguments import MultiTaskTrainingArguments
from .frozen import embed_rows

logger = logging.getLogger(__name__)


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


def train_order(dataset: Any, collate: Any, args: MultiTaskTrainingArguments) -> BatchOrder | StreamedBatches | None:
    """The batches of this process; `None` where the rows are no mixture.

    Raises:
        ValueError: They cannot be made as `args` say.
    """
    if isinstance(dataset, Mixture):
        return train_batches(dataset, args)
    shared = args.world_size > 1 and dataset is not None and not isinstance(dataset, StreamedMixture)
    if shared and not hasattr(dataset, "__len__"):
        raise ValueError(
            f"Training rows of several processes must have a number or be streamed ones, found a "
            f"{type(dataset).__name__}. Pass a Dataset, or `streaming: true` in a configuration."
        )
    if shared:
        logger.warning(
            "Training rows that are no Dataset are shared out by Accelerate, found a %s: some are read twice in an "
            "epoch where their number does not divide. Dataset.from_list(rows) has none twice",
            type(dataset).__name__,
        )
    if args.max_tokens_per_batch is not None and dataset is not None:
        raise ValueError(
            "max_tokens_per_batch must be left out where the tokens of the training rows are not known before, as of "
            f"streamed ones, found {args.max_tokens_per_batch} and a {type(dataset).__name__}. Pass "
            "per_device_train_batch_size, or tokenised rows in a Dataset."
        )
    return streamed_batches(dataset, collate, args) if isinstance(dataset, StreamedMixture) else None


def begin_epoch(order: BatchOrder | StreamedBatches | None, epoch: int, batches_taken: int) -> None:
    """Make the next iteration that of `epoch`, of which a resumed run has taken some batches and throws them away."""
    if isinstance(order, BatchOrder):
        order.set_epoch(epoch)  # through Accelerate's wrappers it would not arrive after a resume
    elif order is not None:
        order.start = batches_taken  # to a Trainer, the whole of a run on a stream is one epoch


def streamed_batches(mixture: StreamedMixture, collate: Any, args: MultiTaskTrainingArguments) -> StreamedBatches:
    """The batches of this process from `mixture`: a function of the seed alone.

    Raises:
        ValueError: They are to be sorted, which an endless stream cannot be.
    """
    if str(args.train_sampling_strategy) != "random":
        raise ValueError(
            "train_sampling_strategy must be 'random' where datasets are streamed, found "
            f"{str(args.train_sampling_strategy)!r}: rows that are not read yet cannot be sorted. Leave it out."
        )
    return StreamedBatches(
        mixture,
        collate,
        per_device_batch_size=args.per_device_train_batch_size,
        accumulation_steps=args.gradient_accumulation_steps,
        num_processes=args.world_size,
        process_index=args.process_index,
        seed=args.seed if args.data_seed is None else args.data_seed,
    )


def train_batches(mixture: Mixture, args: MultiTaskTrainingArguments) -> BatchOrder:
    """The order in which this process reads `mixture`: a function of the seed and the epoch alone."""
    return BatchOrder(
        mixture,
        per_device_batch_size=args.per_device_train_batch_size,
        accumulation_steps=args.gradient_accumulation_steps,
        num_processes=args.world_size,
        process_index=args.process_index,
        seed=args.seed if args.data_seed is None else args.data_seed,
        num_epochs=args.num_train_epochs,
        max_steps=args.max_steps,
        sampling_strategy=str(args.train_sampling_strategy),
        drop_last=args.dataloader_drop_last,
        max_tokens=args.max_tokens_per_batch,
    )


def train_loader(
    order: BatchOrder | StreamedBatches, collate: Any, args: MultiTaskTrainingArguments
) -> DataLoader[Any]:
    """A loader of the batches in `order`, which is that of this process: Accelerate must not shard it again."""
    workers = args.dataloader_num_workers
    what: dict[str, Any] = {"dataset": order, "batch_size": None}  # a stream's batches are collated
    if isinstance(order, BatchOrder):
        what = {"dataset": flattened(order.rows, collate), "batch_sampler": order, "collate_fn": collate}
    return DataLoader(
        **what,
        num_workers=workers,
        pin_memory=args.dataloader_pin_memory,
        persistent_workers=args.dataloader_persistent_workers,
        prefetch_factor=args.dataloader_prefetch_factor if workers else None,
        multiprocessing_context=args.dataloader_multiprocessing_context if workers else None,
        worker_init_fn=partial(seed_worker, num_workers=workers, rank=args.process_index) if workers else None,
    )
