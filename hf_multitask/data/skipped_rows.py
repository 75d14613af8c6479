"""Rows that cannot be used: what ends a run that does not allow them, and the list of them where it does."""

import csv
from collections.abc import Sequence
from pathlib import Path

from .mapping import SkippedRow

TOLD = 5
"""Of so many rows a message gives the reason."""


def check_none_skipped(skipped: Sequence[SkippedRow]) -> None:
    """Raise unless there are none.

    Raises:
        ValueError: There are; the message gives the reasons of the first, and the number of all.
    """
    if len(skipped) == 1:
        raise ValueError(skipped[0].reason)
    if skipped:
        reasons = "\n".join(f"- {row.reason}" for row in skipped[:TOLD])
        raise ValueError(
            f"All rows must be usable, found {len(skipped)} that are not:\n{reasons}\n"
            f"{'- ...' + chr(10) if len(skipped) > TOLD else ''}"
            "Correct them, or set invalid_rows: skip to go on without them."
        )


def write_skipped_rows(skipped: Sequence[SkippedRow], folder: Path) -> Path | None:
    """The list of the `skipped` rows and their reasons, `skipped_rows.csv` in `folder`; none where none is skipped."""
    if not skipped:
        return None
    path = folder / "skipped_rows.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "reason"])
        writer.writerows((row.row, row.reason) for row in skipped)
    return path
