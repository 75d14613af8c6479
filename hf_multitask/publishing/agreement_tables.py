"""How far the tasks agree, as tables and in words."""

from collections.abc import Sequence
from typing import Any

from ..tables import format_table, four_digits
from .advice import advise
from .agreement import Agreement, agreements
from .run_record import RunRecord

MOST_PAIRS = 20
"""Of so many pairs of tasks a table tells, those that disagree most."""

CAVEAT = (
    "A cosine of -1 is full conflict, 0 none either way, 1 full agreement. They were measured on the rows of single "
    "batches, where the embeddings leave the encoder, not over all its parameters: they are noisy, and mostly nearer "
    "to 0 than those of the whole data would be. In brackets, 95 % intervals of the mean over the measured steps, for "
    "all pairs together, as if the steps were independent. A conflict of gradients is no proof that a task would be "
    "better off alone."
)
"""What must be known to read the numbers."""


def agreement_table(record: RunRecord) -> str:
    """Per pair of tasks, the mean cosine of their gradients and how it came about; empty where nothing was measured."""
    pairs = agreements(record)
    rows: list[list[object]] = [
        [
            ", ".join(pair.tasks),
            four_digits(pair.mean) + _interval(pair),
            f"{pair.share_below:.0%}",
            pair.last_quarter,
            len(pair.steps),
        ]
        for pair in pairs[:MOST_PAIRS]
    ]
    if not rows:
        return ""
    table = format_table(["do the tasks agree?", "mean cosine", "below 0", "last quarter", "steps"], rows)
    more = len(pairs) - len(rows)
    return table + (f"\n\n{more} more pairs agree better." if more else "")


def describe_agreement(record: RunRecord) -> str:
    """All of it, for a terminal; empty where nothing was measured."""
    table = agreement_table(record)
    return "\n\n".join([table, CAVEAT, *advise(record)]) if table else ""


def agreement_rows(pairs: Sequence[Agreement]) -> list[list[Any]]:
    """A header, and a row of each pair: what [`agreement_table`] tells, in full."""
    header = ["first", "second", "group", "mean", "low", "high", "share_below_0", "last_quarter", "steps"]
    rows = [
        [*pair.tasks, pair.group, pair.mean, *(pair.interval or ("", "")), pair.share_below, pair.last_quarter, n]
        for pair in pairs
        if (n := len(pair.steps))
    ]
    return [header, *rows]


def cosine_rows(pairs: Sequence[Agreement]) -> list[list[Any]]:
    """A header, and a row of each cosine."""
    values = [[*pair.tasks, *point] for pair in pairs for point in zip(pair.steps, pair.cosines, strict=True)]
    return [["first", "second", "step", "cosine"], *values]


def _interval(pair: Agreement) -> str:
    return "" if pair.interval is None else f" [{', '.join(map(four_digits, pair.interval))}]"
