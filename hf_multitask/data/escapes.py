"""Escapes in JSON files that stand for no character."""

import re

ESCAPE = re.compile(r"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<half>\\u[dD][89a-fA-F]\w\w)|\\.")
"""What stands behind a backslash in JSON: a surrogate pair, half of one, or anything else."""


def check_escapes(line: str, number: int) -> None:
    """Raise where half of a surrogate pair stands by itself: readers of JSON drop it, and two labels may become one.

    Args:
        line: Of a JSON file.
        number: Of the line, from 1.

    Raises:
        ValueError: It does; the message tells the line.
    """
    if "\\ud" not in line and "\\uD" not in line:
        return
    if half := next((found["half"] for found in ESCAPE.finditer(line) if found["half"]), None):
        raise ValueError(f"in line {number} {half}, which is half of a character")
