"""Where a text parts into words, as the corpora in which words have labels part theirs."""

import re
import unicodedata

UNSPACED = (
    (0x0E00, 0x109F),  # Thai, Lao, Tibetan, Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x312F),  # radicals, kana, bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # kana of half width
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana, Nushu
    (0x20000, 0x3FFFF),  # Han
)
"""First and last letter of scripts that are written without spaces between words."""

INNER = "-\u2010\u2011\u2013\u05be'\u2019\u05f3\"\u05f4&@/_\u00b7:\u055a\u055b\u055c\u055e"
"""Marks that belong to the word on both sides of which they stand, beside the dot."""

INNER_OF_NUMBERS = ",;\u066b\u066c\u060c"
"""Marks that do so between digits alone."""


def _kind(char: str) -> str:
    """What a character is, as the letter by which the pattern below knows it."""
    category = unicodedata.category(char)
    if char.isspace():
        return " "
    if category in ("Mn", "Mc", "Me", "Cf", "Cc"):
        return "~"  # belongs to what stands before it
    if category[0] in "PS":
        return "." if char == "." else "-" if char in INNER else "," if char in INNER_OF_NUMBERS else "!"
    if any(first <= ord(char) <= last for first, last in UNSPACED):
        return "u"
    return "0" if category[0] == "N" else "A" if category == "Lu" else "a"


class _Kinds(dict[int, str]):
    """The kinds of the characters that were asked for, by their code."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(chr(code))
        return kind


_KINDS = _Kinds()

_PART = r"~*[Aa0][Aa0~]*(?:(?<=\.[Aa])\.(?![.Aa0]))?"  # with the last dot of U.S.
_PATTERN = re.compile(
    r"A\.(?= +[^ ])"  # an initial, as in J. Smith
    rf"|{_PART}(?:(?:[-.]|(?<=0),(?=0)){_PART})*"
    r"|u[u~]*"
    r"|[-.,!]~*"
)


def split_words(text: str) -> list[tuple[int, int]]:
    """The first character of each word of `text`, and the one behind its last.

    Words are parted by spaces. Marks before and behind a word are words of their own, one each, or one for the same
    mark several times (`...`). A single mark within a word stays in it where words are written with such a one: hyphen,
    apostrophe, dot and the like, as in `Jean-Claude`, `don't`, `3.5` and `a@b.c`; and so do the dots of `U.S.` and of
    `J. Smith`. Letters of scripts without spaces between words, such as Chinese, Japanese and Thai, are one word here,
    as far as they follow each other (see [`is_unspaced`]).
    """
    words: list[tuple[int, int]] = []
    for found in _PATTERN.finditer(text.translate(_KINDS)):
        start, end = found.span()
        is_mark = found[0][0] in "-.,!"
        if is_mark and words and words[-1][1] == start and text[start] == text[words[-1][0]]:
            words[-1] = (words[-1][0], end)
        else:
            words.append((start, end))
    return words


def is_unspaced(char: str) -> bool:
    """Whether a character is a letter of a script that is written without spaces between words."""
    return _KINDS[ord(char)] == "u"


def is_continuation(char: str) -> bool:
    """Whether a character belongs to what stands before it, as an accent does."""
    return _KINDS[ord(char)] == "~"
