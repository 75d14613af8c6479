"""What the figures of the labels show, as files for other programs."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
