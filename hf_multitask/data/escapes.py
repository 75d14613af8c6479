"""Escapes in JSON files that stand for no character."""

import re
from collections.abc import Iterable
from pathlib import Path

import fsspec

ESCAPE = re.compile(r"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<half>\\u[dD][89a-fA-F]\w\w)|\\.")
"""What stands behind a backslash in JSON: a surrogate pair, half of one, or anything else."""


def check_escapes(files: Iterable[Path]) -> None:
    """Raise where half of a surrogate pair stands by itself: readers of JSON drop it, and two labels may become one.

    Raises:
        ValueError: It does; the message tells the line.
    """
    for file in files:
        with fsspec.open(str(file), "rt", encoding="utf-8", errors="replace", compression="infer") as lines:
            for number, line in enumerate(lines, 1):
                if half := next((found["half"] for found in ESCAPE.finditer(line) if found["half"]), None):
                    raise ValueError(f"in line {number} {half}, which is half of a character")
