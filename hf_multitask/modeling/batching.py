"""Batches of items of similar length, answered in the order in which the items came."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from .texts import Text

Item = TypeVar("Item")
Answer = TypeVar("Answer")

WINDOW = 64
"""Batches among which items are sorted: enough for little padding, few enough to stream."""


def in_windows(items: Iterable[Item], batch_size: int, is_stream: bool = False) -> Iterator[list[Item]]:
    """The items in lists of as many as are sorted at a time, `WINDOW` batches; what cannot be read comes last.

    Args:
        items: Any number.
        batch_size: Items of a batch.
        is_stream: Whether somebody may wait for the first answers, or make an item of the answers before: only one
            batch is read then, next two, four and so on; and single items where a batch is one.

    Raises:
        ValueError: `batch_size` is not positive.
        Exception: That of `items`, behind the items before it.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}. Use 32.")
    stream, batches = iter(items), 1 if is_stream else WINDOW
    problem: Exception | None = None
    while problem is None:
        window: list[Item] = []
        try:
            for item in itertools.islice(stream, batch_size * batches):
                window.append(item)  # noqa: PERF402  # what there is before an exception is wanted
        except Exception as error:
            problem = error
        if not window:
            break
        yield window
        batches = min(2 * batches, WINDOW) if batch_size > 1 or not is_stream else 1
    if problem is not None:
        raise problem


def in_batches(
    window: Sequence[Item],
    answer: Callable[[list[Item]], Sequence[Answer]],
    batch_size: int,
    size: Callable[[Item], tuple[int, int]],
) -> list[Answer]:
    """The answers to the items of a window, in their order.

    Args:
        window: Items, of [`in_windows`].
        answer: From a batch, which has items of one kind, to as many answers.
        batch_size: Items of a batch.
        size: Of an item, its kind and how long it is.
    """
    answers: dict[int, Answer] = {}
    for places in _alike([size(item) for item in window], batch_size):
        answers |= zip(places, answer([window[place] for place in places]), strict=True)
    return [answers[place] for place in range(len(window))]


def characters(text: Text) -> tuple[int, int]:
    """Of a text or a pair, how many texts it is, and how long, for [`in_batches`]; tokens are made batch by batch."""
    return len(text), sum(map(len, text))


def _alike(sizes: Sequence[tuple[int, int]], count: int) -> Iterator[list[int]]:
    """Places of items of one kind and of similar length, the longest first: memory runs out early or never."""
    by_length = sorted(range(len(sizes)), key=lambda place: -sizes[place][1])
    for kind in sorted({kind for kind, _ in sizes}):
        alike = [place for place in by_length if sizes[place][0] == kind]
        for start in range(0, len(alike), count):
            yield alike[start : start + count]
