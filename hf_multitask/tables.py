"""Tables that read well in a terminal and in Markdown alike."""

import re
from collections.abc import Sequence

NUMBER = re.compile(r"[-+]?(\d|inf|nan|$).*")
"""A cell that a column of numbers may have: a number, maybe with more behind it, or a dash for none."""


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: text as given and at the left, floats with four digits and numbers at the right."""
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    columns = range(len(header))
    widths = [max(len(row[column]) for row in cells) for column in columns]
    right = [column > 0 and all(NUMBER.fullmatch(row[column]) for row in cells[1:]) for column in columns]
    rule = ["-" * (width - 1) + (":" if at_right else "-") for width, at_right in zip(widths, right, strict=True)]
    lines = [
        [f"{cell:{'>' if at_right else '<'}{width}}" for cell, width, at_right in zip(row, widths, right, strict=True)]
        for row in (cells[0], rule, *cells[1:])
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def four_digits(value: float) -> str:
    """The number with four digits behind the point, and no sign where they are zeros."""
    return f"{round(value, 4) + 0.0:.4f}"  # -0.0 + 0.0 is 0.0


def _cell(value: object) -> str:
    text = four_digits(value) if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").splitlines())
