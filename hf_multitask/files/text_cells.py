"""What the cells of a column with texts hold: a text each, or a list of its words."""

import json
import math
from collections.abc import Sequence
from typing import Any

from .reading import Chunk, column_of


def read_texts(chunk: Chunk, names: Sequence[str], with_words: bool) -> list[tuple[Any, ...]]:
    """The texts, or pairs, of the rows.

    Args:
        chunk: The rows.
        names: The one or two columns with the texts.
        with_words: Whether a cell of the first column may be a list of words: as it is or, as csv files and the like
            have it, as JSON, `["A", "word"]`. A list in JSON that is neither empty nor has a string stays a text.
    """
    columns = [column_of(chunk, name) for name in names]
    if with_words:
        columns[0] = [_words(cell) for cell in columns[0]]
    return list(zip(*columns, strict=True))


def check_text(cell: Any, where: str, with_words: bool) -> None:
    """Raise unless a cell holds a text, a list of words where it may, or nothing (or NaN, by which pandas means so).

    Args:
        cell: The cell, as [`read_texts`] reads it.
        where: Row and column, for the message.
        with_words: Whether it may be a list of words.

    Raises:
        ValueError: It holds something else.
    """
    if with_words and isinstance(cell, list):
        for word in cell:
            if not isinstance(word, str) or not word.strip():
                raise ValueError(f"{where}: every word must be a text, found {word!r} in {cell!r:.200}. Correct it.")
    elif not (cell is None or isinstance(cell, str) or (isinstance(cell, float) and math.isnan(cell))):
        or_words = ""
        if isinstance(cell, list):
            or_words = " Lists of words are read where the model labels words, in the column of the first texts."
        raise ValueError(
            f"{where} must hold a text, found {str(cell)[:200]} ({type(cell).__name__}). Correct it, or name another "
            f"column.{or_words}"
        )


def _words(cell: Any) -> Any:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            found = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        if not found or any(isinstance(word, str) for word in found):
            return found
    return cell
