"""Labels that look the same and are not: written in other letters, other forms of them, or with invisible ones."""

import logging
import unicodedata
from collections.abc import Iterable, Mapping

from .cells import WHOLE

logger = logging.getLogger(__name__)

MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "null")
"""How programs write that there is nothing, in small letters; "none" may be meant."""

LETTERS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеіјорсухѕԁԛԝһӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναι‐‑–—−’‘",  # noqa: RUF001 - the point
    "ABESIJKMHOPCTYXaeijopcyxsdqwhlABEZHIKMNOPTYXovai-----''",
)
"""Cyrillic and Greek letters, dashes and quotes, and what they are taken for."""


def plain(label: str) -> str:
    """`label` in compatibility form (NFKC), without invisible characters, and with Latin letters for their doubles."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", label) if unicodedata.category(char) != "Cf")
    return " ".join(visible.translate(LETTERS).split())


def check_look_alikes(task: str, labels: Iterable[str]) -> None:
    """Raise where two of the `labels` of `task` look the same, or are the same whole number.

    Raises:
        ValueError: They do; the message shows both, those that look the same by their code points.
    """
    numbers: dict[int, str] = {}
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(plain(label), label)
        if other != label:
            raise ValueError(
                f"Task {task!r}: labels must look different, found {other!r} and {label!r}, which are {other!a} "
                f"and {label!a}. Write them alike in the rows, or list both under tasks."
            )
        if not WHOLE.fullmatch(label):
            continue
        other = numbers.setdefault(int(label), label)
        if other != label:
            raise ValueError(
                f"Task {task!r}: labels must be different numbers, found {other!r} and {label!r}. Write them alike in "
                "the rows, or list both under tasks."
            )


def warn_of_missing(task: str, places: Mapping[str, str]) -> None:
    """Warn where labels of `task` are words by which programs mean that there is none.

    Args:
        task: Its name.
        places: By label, where it is first found.
    """
    found = [label for label in sorted(places) if label.casefold() in MISSING]
    if found:
        logger.warning(
            "Task %r: the labels %s (%s) are mostly written where there is none. Leave these cells empty, or list the "
            "labels under tasks if they are some",
            *(task, found, places[found[0]]),
        )


def warn_of_capitals(task: str, places: Mapping[str, str]) -> None:
    """Warn where labels of `task` differ by capitals alone: mostly they are one label, written by several people.

    Args:
        task: Its name.
        places: By label, where it is first found.
    """
    seen: dict[str, str] = {}
    alike = [(other, label) for label in sorted(places) if (other := seen.setdefault(label.casefold(), label)) != label]
    if alike:
        (one, other), *more = alike
        logger.warning(
            "Task %r: the labels %r (%s) and %r (%s) differ by capitals alone%s. Write them alike in the rows, or list "
            "both under tasks if they mean different things",
            *(task, one, places[one], other, places[other], f", and {len(more)} more do" if more else ""),
        )
