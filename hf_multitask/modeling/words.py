"""Where the words of a text are, and which token speaks for each."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Args:
        token: Place of its first token, whose label is the word's.
        start: Its first character.
        end: Behind its last character.
    """

    token: int
    start: int
    end: int


def find_words(text: str, encoding: Any) -> list[Word]:
    """The words of `text`, of a pair the first text.

    A word ends where the tokenizer says so, or at a space: some tokenizers take a whole text for one word. Its first
    token may be the space before it alone, and is where training put the word's label.

    Args:
        text: The text.
        encoding: What a fast tokenizer made of it (`tokenizers.Encoding`).
    """
    words: list[Word] = []
    last_id = space = None
    for place, (word_id, sequence, (start, end)) in enumerate(
        zip(encoding.word_ids, encoding.sequence_ids, encoding.offsets, strict=True)
    ):
        start += len(text[start:end]) - len(text[start:end].lstrip())  # some tokens have the space before them
        if sequence != 0 or word_id is None:
            continue
        if start >= end:
            space = (place, word_id)
            continue
        if word_id == last_id and not text[words[-1].end : start].isspace():
            words[-1] = Word(words[-1].token, words[-1].start, end)
        else:
            words.append(Word(place - 1 if space == (place - 1, word_id) else place, start, end))
        last_id = word_id
    return words
