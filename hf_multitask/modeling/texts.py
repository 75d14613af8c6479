"""What a model is asked about: a text, or a pair of texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np


class Words(str):
    """A text of which the words are known: they, joined by one space each.

    Args:
        words: The words.

    Raises:
        ValueError: One of them is no string, or nothing but space.
    """

    spans: list[tuple[int, int]]
    """The first character of each word, and the one behind its last."""

    def __new__(cls, words: Sequence[str]) -> "Words":
        """The joined words, and where they are in it."""
        for word in words:
            if not isinstance(word, str) or not word.strip():
                raise ValueError(f"Every word of a text must be a text, found {word!r} in {words!r}. Correct the list.")
        text = super().__new__(cls, " ".join(words))
        text.spans = []
        start = 0
        for word in words:
            text.spans.append((start, start + len(word)))
            start += len(word) + 1
        return text

    def __getnewargs__(self) -> tuple[list[str]]:  # type: ignore[override]
        return ([self[start:end] for start, end in self.spans],)  # for copies, which would be made of the joined text


Text: TypeAlias = tuple[str, ...]
"""One string, or two of a pair."""


def check_no_table(texts: Any) -> None:
    """Raise where texts are a table of pandas, polars or Arrow, which would be read as the names of its columns.

    Raises:
        ValueError: They are.
    """
    if hasattr(texts, "columns") or (hasattr(texts, "column_names") and not hasattr(texts, "features")):
        raise ValueError(
            f"Texts must be a list or a column of them, found a {type(texts).__name__}. Pass one column, or its "
            "rows as mappings with 'text' and maybe 'text_pair'."
        )


def streamed(inputs: Any) -> Iterator[Any] | None:
    """The inputs one by one, where they are many: a stream, a column, a data set that knows its rows by their numbers.

    `None` of a list, which is answered by a list, and of a single text.
    """
    if isinstance(inputs, str | Mapping | tuple | list):
        return None
    if isinstance(inputs, Iterable):
        return iter(inputs)
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):  # of torch, say, which need not be there
        return (inputs[place] for place in range(len(inputs)))
    return None


def as_text(value: Any, takes_words: bool = True) -> Text:
    """The text or pair that a user means.

    Args:
        value: A string; two strings; or a mapping with `text`, maybe `text_pair`, and whatever else. In a mapping or a
            tuple the first text may be a list of its words, `{"text": ["A", "word"]}`, which becomes [`Words`]; a list
            of two strings by itself is a pair.
        takes_words: Whether lists of words are taken: where no task labels words, a list in a mapping is rather a
            batch of a data set, of many texts.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, str):
        return (value,)
    parts: Any = value
    if isinstance(value, Mapping):
        second = value.get("text_pair")
        parts = (value.get("text"),) if second is None else (value.get("text"), second)
    if isinstance(parts, list | tuple) and len(parts) in (1, 2):
        first, *second = parts
        if isinstance(first, list | tuple | np.ndarray):
            if not takes_words:
                raise ValueError(
                    "A text must be a string where no task labels words, found a list. Join the words of each text; of "
                    "a batch of rows pass the column of texts by itself, such as rows['text']."
                )
            first = Words(list(first))
        if all(isinstance(part, str) for part in (first, *second)):
            return (first, *second)
    raise ValueError(
        f"A text must be a string, or for a pair two strings or a mapping with 'text' and 'text_pair', found "
        f"{value!r}. Write 'A text.' or ('A text.', 'Another.'), and a list of words as {{'text': ['A', 'word']}}."
    )
