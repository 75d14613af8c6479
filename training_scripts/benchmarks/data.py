"""The path of the data, from rows to batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from hf_multitask.data.preparation import prepare
from hf_multitask.data.tokenization import tokenize
from hf_multitask.settings.run_settings import RunSettings

from . import ours, stock
from .sampling import measure
from .table import Bar, Table
from .variant import Variant
from .workload import LABELS, Workload

OURS, PEER = "batches, ours", "batches, Arrow + DataCollatorWithPadding"

MANY = 100
"""Tasks of many."""

BARS = [Bar("batches of tokenised rows", OURS, PEER, 15, 40)]


def data(workload: Workload) -> Table:
    """The table."""
    datasets.disable_caching()
    texts = workload.texts[: 512 * workload.scale]
    tokenised, stock_rows = ours.data(workload, texts, 2), stock.data(workload, texts)
    raw = _raw(texts)
    mapped = workload.rows(texts, 2)

    def timed(name: str, work: Callable[[Any], Any], make: Callable[[], Any]) -> Variant:
        return Variant(name, lambda made: _do(work, made), make, amount=len(texts), ours="ours" in name)

    variants = [
        timed("mapping, ours", _map, lambda: raw),
        timed("mapping, Dataset.map", _map_as_users_do, lambda: raw),
        timed(f"mapping, {MANY} datasets of a task each, ours", _map_many, lambda: _cut(raw)),
        timed(
            "tokenisation, ours",
            lambda rows: tokenize(rows, workload.tokenizer, workload.max_length),
            lambda: mapped,
        ),
        timed("tokenisation, Dataset.map", lambda rows: _tokenise(workload, rows), lambda: raw),
        timed(OURS, _all, lambda: ours.trainer(workload, tokenised, 2).get_train_dataloader()),
        timed(f"{OURS}, and reading the rows once", _epoch, lambda: ours.trainer(workload, tokenised, 2)),
        timed(PEER, _all, lambda: _stock_loader(workload, stock_rows)),
        timed("batches, transformers' Trainer", _epoch, lambda: stock.trainer(workload, stock_rows)),
    ]
    samples, skipped = measure(variants, workload.method)
    for variant in variants:
        if variant.name in samples:
            variant.facts["real tokens/s"] = sum(workload.lengths(texts)) / samples[variant.name].median()
    notes = [
        "Batches are those of one epoch, in the Trainer's order, with two tasks of ours and one of the peer's. The "
        "Trainers and the rows are made before, and so are the loaders of the first of ours and of Arrow."
    ]
    conditions = workload.conditions(texts, training=False)
    return Table("data", "Rows to batches", "rows/s", variants, samples, skipped, BARS, conditions, notes=notes)


def _raw(texts: Sequence[str]) -> Dataset:
    labels = [f"label_{n % LABELS}" for n in range(len(texts))]
    return Dataset.from_dict({"text": list(texts), "first": labels, "second": labels[::-1]})


def _map(raw: Dataset) -> Any:
    """Ours: checks, look-up of labels, a target for every task in every row."""
    settings = RunSettings.from_dict(
        {
            "backbone": "not read",
            "datasets": {"rows": {"text": "text", "targets": {"first": "first", "second": "second"}}},
            "tasks": {name: {"labels": [f"label_{k}" for k in range(LABELS)]} for name in ("first", "second")},
        }
    )
    return prepare(settings, {"rows": raw})


def _cut(raw: Dataset) -> dict[str, Dataset]:
    return {f"task_{n}": raw.shard(MANY, n, contiguous=True) for n in range(MANY)}


def _map_many(raw: Mapping[str, Dataset]) -> Any:
    """Ours: the same of many datasets, each with a task of its own; every row has a target, or none, for each task."""
    settings = RunSettings.from_dict(
        {
            "backbone": "not read",
            "datasets": {name: {"text": "text", "targets": {name: "first"}} for name in raw},
            "tasks": {name: {"labels": [f"label_{k}" for k in range(LABELS)]} for name in raw},
        }
    )
    return prepare(settings, raw)


def _map_as_users_do(raw: Dataset) -> Dataset:
    return raw.map(_map_batch, batched=True, remove_columns=raw.column_names)


def _map_batch(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
    """The same without checks."""
    index = {f"label_{k}": k for k in range(LABELS)}
    targets = zip(batch["first"], batch["second"], strict=True)
    return {"text": batch["text"], "targets": [{"first": index[a], "second": index[b]} for a, b in targets]}


def _tokenise(workload: Workload, raw: Dataset) -> Dataset:
    return raw.map(lambda batch: workload.encoded(batch["text"]), batched=True, remove_columns=["text"])


def _stock_loader(workload: Workload, rows: Dataset) -> Any:
    collate = DataCollatorWithPadding(workload.tokenizer)
    return DataLoader(rows.remove_columns("length"), workload.batch_size, shuffle=True, collate_fn=collate)


def _do(work: Callable[[Any], Any], made: Any) -> None:
    work(made)


def _epoch(trainer: Any) -> None:
    _all(trainer.get_train_dataloader())


def _all(loader: Any) -> None:
    for _ in loader:
        pass
