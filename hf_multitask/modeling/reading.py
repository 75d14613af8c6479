"""From texts to what a model reads of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .task import Task
from .texts import Text
from .words import Word, find_words

Row: TypeAlias = Mapping[str, list[int]]
"""What a model reads of one text, by the names of its inputs."""

PIECE = 2**20
"""Characters of the texts whose tokens are made at once."""

UNLIMITED = 1_000_000
"""From this `model_max_length` on a tokenizer means that it does not know one."""


@dataclass
class Reading:
    """A batch of texts as a model reads it.

    Args:
        texts: The texts, or the pairs.
        joint: Tensors of the texts, pairs joined; `None` where no task reads them so.
        apart: Tensors of first and of second texts, where a task reads the two of a pair apart.
        words: Per text, its words, where a task labels words.
        cut: How many texts are longer than what is read.
    """

    texts: Sequence[Text]
    joint: Mapping[str, Any] | None = None
    apart: list[Mapping[str, Any]] = field(default_factory=list)
    words: list[list[Word]] = field(default_factory=list)
    cut: int = 0


def read(tokenizer: Any, texts: Sequence[Text], tasks: Sequence[Task], tensors: str) -> Reading:
    """What a model with these tasks reads of a batch that has either texts or pairs.

    Args:
        tokenizer: The checkpoint's; its `model_max_length` is what is read of a text, in tokens.
        texts: The batch.
        tasks: The tasks to answer.
        tensors: "pt" or "np".

    Raises:
        ValueError: Words have labels, and the tokenizer does not tell which tokens are theirs; or all tasks compare
            two texts, and there are single ones.
    """
    labels_words = any(task.reads_tokens for task in tasks)
    if labels_words and not tokenizer.is_fast:
        raise ValueError(
            f"Labels of words need a fast tokenizer, found {type(tokenizer).__name__}. Load another by "
            "AutoTokenizer.from_pretrained(...)."
        )
    columns = [list(column) for column in zip(*texts, strict=True)]
    found = Reading(texts)
    cut: set[int] = set()
    if any(task.has_head for task in tasks):
        encoded = _encoded(tokenizer, columns)
        found.joint = dict(pad(tokenizer, _rows(encoded), tensors))
        cut |= cut_places(tokenizer, columns, encoded)
        if labels_words:
            pairs = zip(columns[0], encoded.encodings, strict=True)
            found.words = [find_words(text, encoding) for text, encoding in pairs]
    if len(columns) == 2 and any(not task.has_head for task in tasks):
        for column in columns:
            encoded = _encoded(tokenizer, [column])
            found.apart.append(dict(pad(tokenizer, _rows(encoded), tensors)))
            cut |= cut_places(tokenizer, [column], encoded)
    if found.joint is None and not found.apart:
        raise ValueError(
            f"The tasks {[task.name for task in tasks]} compare two texts, found a single one, {texts[0][0]!r}. "
            "Write ('A text.', 'Another.')."
        )
    found.cut = len(cut)
    return found


def tokenize(tokenizer: Any, columns: Sequence[list[str]], tensors: str) -> Any:
    """Padded tensors (B, L) of texts, or of pairs, each cut to the tokenizer's `model_max_length`."""
    return pad(tokenizer, _rows(_encoded(tokenizer, columns)), tensors)


def token_rows(tokenizer: Any, texts: list[str]) -> tuple[list[Row], int]:
    """Of each text what a model reads of it, not padded, and how many texts are longer than that."""
    rows, cut = [], 0
    for piece in _pieces(texts):
        encoded = _encoded(tokenizer, [piece])
        rows += _rows(encoded)
        cut += len(cut_places(tokenizer, [piece], encoded))
    return rows, cut


def pad(tokenizer: Any, rows: Sequence[Row], tensors: str) -> Any:
    """Padded tensors (B, L) of rows of tokens, as of [`token_rows`].

    A batch without any token, of empty texts and a tokenizer without special ones, is one of padding.
    """
    size = {} if any(row["input_ids"] for row in rows) else {"padding": "max_length", "max_length": 1}
    return tokenizer.pad(list(rows), padding_side="right", return_tensors=tensors, **size)


def cut_to(limit: int) -> dict[str, Any]:
    """What to tell a tokenizer so that it cuts texts to so many tokens, or not at all from `UNLIMITED` on."""
    return {"truncation": True, "max_length": limit} if limit < UNLIMITED else {}


def cut_places(tokenizer: Any, columns: Sequence[list[str]], encoded: Any) -> set[int]:
    """Places of the texts that have more tokens than were read."""
    limit = tokenizer.model_max_length
    if max(map(len, encoded["input_ids"]), default=0) < limit:
        return set()
    if encoded.encodings is not None:  # of a fast tokenizer, which keeps what it cut off
        return {place for place, encoding in enumerate(encoded.encodings) if encoding.overflowing}
    whole = tokenizer(*columns, verbose=False)["input_ids"]
    return {place for place, ids in enumerate(whole) if len(ids) > limit}


def _encoded(tokenizer: Any, columns: Sequence[list[str]]) -> Any:
    """The tokens of texts, or of pairs, cut and never padded: a fast tokenizer that is told to pad does so for all."""
    return tokenizer(*columns, **cut_to(tokenizer.model_max_length))


def _rows(encoded: Any) -> list[Row]:
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def _pieces(texts: list[str]) -> Iterator[list[str]]:
    """The texts in lists of at most `PIECE` characters, or of one text: tokens of many long ones take much memory."""
    first, total = 0, 0
    for place, text in enumerate(texts):
        total += len(text)
        if total > PIECE and place > first:
            yield texts[first:place]
            first, total = place, len(text)
    if texts:
        yield texts[first:]
