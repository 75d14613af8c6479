"""Batches of texts of similar length, answered in the order in which the texts came."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from .texts import Text

Answer = TypeVar("Answer")

WINDOW = 64
"""Batches among which texts are sorted: enough for little padding, few enough to stream."""


def in_batches(
    texts: Iterable[Text], answer: Callable[[list[Text]], Sequence[Answer]], batch_size: int
) -> Iterator[Answer]:
    """The answers to `texts`, in their order, as a stream: no more than `WINDOW` batches are read ahead.

    Args:
        texts: Texts and pairs, any number.
        answer: From a batch, which has either texts or pairs, to as many answers.
        batch_size: Texts of a batch.

    Raises:
        ValueError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}. Use 32.")
    stream = iter(texts)
    while window := list(itertools.islice(stream, batch_size * WINDOW)):
        answers: dict[int, Answer] = {}
        for places in _alike(window, batch_size):
            answers |= zip(places, answer([window[place] for place in places]), strict=True)
        for place in range(len(window)):
            yield answers.pop(place)


def _alike(texts: Sequence[Text], size: int) -> Iterator[list[int]]:
    """Places of texts, or of pairs, of similar length in characters, the longest first: memory runs out early or never.

    Not in tokens, which are made batch by batch.
    """
    by_length = sorted(range(len(texts)), key=lambda place: -sum(map(len, texts[place])))
    for count in (1, 2):
        alike = [place for place in by_length if len(texts[place]) == count]
        for start in range(0, len(alike), size):
            yield alike[start : start + size]
