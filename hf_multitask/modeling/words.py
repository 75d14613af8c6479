"""Where the words of a text are, and which token speaks for each."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from .texts import Words
from .word_borders import is_continuation, is_unspaced, split_words


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


class _Piece(NamedTuple):
    """The characters of a token, those of a word's first one without the space before; `part` is the tokenizer's."""

    token: int
    part: int
    start: int
    end: int


def find_words(text: str, encoding: Any) -> list[Word]:
    """The words of `text`, of a pair the first text, that have a token.

    They are those that the user gave, of [`Words`], else those of [`split_words`], whatever the tokenizer is. Only
    where a script has no spaces between words, the tokenizer parts what follows each other: where it does so before it
    makes tokens, else at each token.

    The first token of a word may be the space before it alone, and is where training put the word's label. A token may
    hold several words, as `).` of some tokenizers does, and speaks for each of them.

    Args:
        text: The text.
        encoding: What a fast tokenizer made of it (`tokenizers.Encoding`).
    """
    pieces = _pieces(text, encoding)
    starts, ends = [piece.start for piece in pieces], [piece.end for piece in pieces]
    words = []
    given = text.spans if isinstance(text, Words) else None
    for start, end in split_words(text) if given is None else given:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first >= last:  # cut off, or nothing that the tokenizer reads
            continue
        if given is not None or not is_unspaced(text[start]):
            words.append(Word(pieces[first].token, start, end))
            continue
        borders = [start, *_inner_borders(text, start, pieces[first:last]), min(end, ends[last - 1])]
        words += [Word(pieces[bisect_right(ends, begin)].token, begin, stop) for begin, stop in pairwise(borders)]
    return words


def _pieces(text: str, encoding: Any) -> list[_Piece]:
    """The tokens that have characters other than space."""
    pieces: list[_Piece] = []
    space = None
    for place, (part, sequence, (start, end)) in enumerate(
        zip(encoding.word_ids, encoding.sequence_ids, encoding.offsets, strict=True)
    ):
        if sequence != 0 or part is None:
            continue
        start += len(text[start:end]) - len(text[start:end].lstrip())  # some tokens have the space before them
        if start >= end:
            space = (place, part)
        else:
            pieces.append(_Piece(place - 1 if space == (place - 1, part) else place, part, start, end))
    return pieces


def _inner_borders(text: str, start: int, pieces: list[_Piece]) -> list[int]:
    """Where words begin behind `start`, in letters without spaces between words, of which these are the tokens."""
    has_parts = pieces[0].part != pieces[-1].part
    return [
        piece.start
        for before, piece in pairwise(pieces)
        if max(start, before.start) < piece.start and not is_continuation(text[piece.start])
        if not has_parts or before.part != piece.part
    ]
