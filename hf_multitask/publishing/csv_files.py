"""What figures show of labels, of agreement and of transfer, as files for other programs."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .transfer_record import Difference, TransferRecord

CLASS_COLUMNS = ("precision", "recall", "f1", "support")


def write_confusion_csv(labels: Sequence[str], counts: Sequence[Sequence[int]], path: Path) -> None:
    """Rows of right labels, columns of given labels; the first row and the first column name them."""
    _write(
        path,
        [["right \\ given", *labels], *([label, *map(int, row)] for label, row in zip(labels, counts, strict=True))],
    )


def write_rows_csv(rows: Iterable[Sequence[Any]], path: Path) -> None:
    """The rows as they are, the header among them."""
    _write(path, rows)


def write_classes_csv(classes: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """A row of each label's precision, recall, F1 and support."""
    rows = ([label, *(scores[column] for column in CLASS_COLUMNS)] for label, scores in classes.items())
    _write(path, [["label", *CLASS_COLUMNS], *rows])


def write_transfer_csv(transfer: TransferRecord, path: Path) -> None:
    """A row of each task and seed, and one of the mean over the seeds, with its interval and what that says."""
    rows: list[list[Any]] = []
    for task in transfer.tasks:
        by_seed = zip(transfer.seeds, task.single, task.shared, task.difference.by_seed, strict=True)
        rows += [[task.task, task.metric, *values, "", "", ""] for values in by_seed]
        scores = [sum(values) / len(values) for values in (task.single, task.shared)]
        rows.append([task.task, task.metric, "mean", *scores, *_told(task.difference)])
    header = ["task", "metric", "seed", "single_task", "multi_task", "difference", "low", "high", "verdict"]
    _write(path, [header, *rows])


def write_pairs_csv(transfer: TransferRecord, path: Path) -> None:
    """A row of each task and partner: what a model of the two gave the task, over the seeds."""
    rows = [
        [task.task, partner, task.metric, *_told(found), found.gain]
        for task in transfer.tasks
        for partner, found in task.beside.items()
    ]
    _write(path, [["task", "beside", "metric", "difference", "low", "high", "verdict", "gain"], *rows])


def _told(difference: Difference) -> list[Any]:
    return [difference.mean, *(difference.interval or ("", "")), difference.verdict]


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
