"""Which rows a run had in which split, so that its model can be scored on those that it was not trained on."""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from typing import Any, TypeGuard

from datasets import Dataset

from ..settings.run_settings import RunSettings
from .prepared_data import PreparedData
from .raw_rows import seed_of
from .same_texts import text_hashes

logger = logging.getLogger(__name__)

DATASET_KEYS = ("validation", "test", "max_rows", "name", "revision")
"""Settings of a dataset that decide its rows and splits, and that a flag can restore.

Its targets and files decide too, as the checksums of the rows tell.
"""


def split_record(settings: RunSettings, data: PreparedData) -> dict[str, Any]:
    """What decided the splits of a run, `settings` by flag, and per split and dataset a checksum; plain values.

    Args:
        settings: Of the run.
        data: What they describe.
    """
    rows = {split: {name: _checksum(rows) for name, rows in found.items()} for split, found in data.splits.items()}
    return {"settings": _deciding(settings), "checksums": rows}


def check_same_training_rows(record: Mapping[str, Any] | None, found: Mapping[str, Any]) -> None:
    """Raise if a run that goes on has other training rows than its checkpoint's.

    Args:
        record: [`split_record`] of the checkpoint, `None` where there is none.
        found: That of the run.

    Raises:
        ValueError: It has; the message names the datasets.
    """
    if not _tells_checksums(record):
        return
    saved, given = (values["checksums"].get("train", {}) for values in (record, found))
    others = sorted(name for name in {*saved, *given} if saved.get(name) != given.get(name))
    if others:
        raise ValueError(
            f"A resumed run must have the training rows of its checkpoint, found others in the datasets {others}. "
            "Restore their files and settings, or start a new run."
        )


def check_same_splits(
    record: Mapping[str, Any] | None,
    settings: RunSettings,
    data: PreparedData,
    split: str,
    datasets: Collection[str] | None = None,
) -> None:
    """Raise if rows to be scored were cut from training rows in another way than when the model was trained.

    Rows that come in files of their split may be any. Where nothing is known of the run, or it had no such dataset,
    the log says that there was nothing to compare with.

    Args:
        record: [`split_record`] of the run, `None` where there is none.
        settings: By which the model is to be scored.
        data: What they describe.
        split: The one to score.
        datasets: Names of those to look at; all by default.

    Raises:
        ValueError: They were; the message names the settings and both values.
    """
    record = record if _tells_checksums(record) else None
    for form, rows in data.splits[split].items():
        name, origin, _ = rows[0]["row"].rsplit("/", 2)
        is_wanted = datasets is None or name in datasets
        if origin != "train" or not settings.datasets[name].shares or not is_wanted:
            continue
        found = {flag: value for flag, value in _deciding(settings).items() if _is_of(flag, name)}
        wanted = {flag: value for flag, value in (record or {}).get("settings", {}).items() if _is_of(flag, name)}
        if not any(flag.startswith("datasets.") for flag in wanted):
            whose = "there is no record of the model's run" if record is None else "the model's run had no such dataset"
            logger.warning(
                "Dataset %r: its %s rows, cut from training rows, could not be compared with those of the run: %s. The "
                "model may have been trained on some of them",
                *(name, split, whose),
            )
        elif record is not None and record["checksums"].get(split, {}).get(form) != _checksum(rows):
            raise ValueError(
                f"datasets.{name}: its {split} rows must be cut as in the model's run, found others"
                f"{_differences(wanted, found)}, or give new rows a file of their own (data_files: {{{split}: FILE}})."
            )


def _tells_checksums(record: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, Any]]:
    """Whether there is a record that tells texts, which older ones did not."""
    return record is not None and "checksums" in record


def _deciding(settings: RunSettings) -> dict[str, Any]:
    """What decides the splits of all datasets, per flag."""
    of_datasets = {
        f"datasets.{name}.{key}": getattr(dataset, key)
        for name, dataset in settings.datasets.items()
        for key in DATASET_KEYS
    }
    return {"seed": seed_of(settings), "invalid_rows": settings.invalid_rows, **of_datasets}


def _is_of(flag: str, name: str) -> bool:
    """Whether a flag has to do with the dataset `name`."""
    return not flag.startswith("datasets.") or flag.rpartition(".")[0] == f"datasets.{name}"


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What is other than in the run, and what to do, to go on with in a message."""
    others = [flag for flag in found if flag in wanted and found[flag] != wanted[flag]]
    trained = "the model may have been trained on some of them."
    if not others:
        return f", though no setting of the split differs: {trained} Restore the targets and the files of the run"
    values = ", ".join(f"{flag} {json.dumps(found[flag])} (in the run {json.dumps(wanted[flag])})" for flag in others)
    flags = " ".join(f"--{flag} {json.dumps(wanted[flag])}" for flag in others)
    return f", by {values}: {trained} Add {flags}"


def _checksum(rows: Dataset) -> str:
    """Of where the rows come from, and of their texts, in their order."""
    found = hashlib.sha256("\n".join(rows["row"][:]).encode())
    found.update(text_hashes(rows).tobytes())
    return found.hexdigest()
