"""From texts to token ids, truncated, never padded."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from ..modeling.labels import IGNORE_INDEX
from ..modeling.reading import cut_to

logger = logging.getLogger(__name__)

ROWS_PER_PROCESS = 100_000
"""A tokenizer is parallel by itself; further processes pay only where there are many rows to hand over and store."""


def tokenize(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, tokenizer_hash: str | None = None
) -> Dataset:
    """`dataset` with token ids and their `length` in place of its texts, each text cut to `max_length` tokens.

    Second texts become `pair_input_ids`. The label of a word becomes that of its first token; the others have -100.

    Args:
        dataset: Rows with `text`, maybe `text_pair` (read jointly; the longer of both is cut first) or `second_text`
            (read apart), or with `words`; and anything else.
        tokenizer: The backbone's.
        max_length: In tokens, special tokens included.
        tokenizer_hash: [`hash_of`] the tokenizer, where it is known.

    Raises:
        ValueError: The rows are no `Dataset`, or one has no text; a row is longer than the backbone can read, and
            `max_length` does not cut it; or words are labelled, and the tokenizer does not tell which tokens are
            theirs.
    """
    _check_rows(dataset)
    columns = [name for name in ("text", "text_pair") if name in dataset.column_names] or ["words"]
    has_words, has_second = columns == ["words"], "second_text" in dataset.column_names
    word_tasks = _word_tasks(dataset) if has_words else []
    if has_words and not tokenizer.is_fast:
        raise ValueError(
            f"Labels of words must be read with a fast tokenizer, found {type(tokenizer).__name__}. Choose another "
            "backbone."
        )

    spaced = has_words and _needs_spaces(tokenizer)
    cut: dict[str, Any] = cut_to(max_length)
    removed = [*columns, *(["second_text"] if has_second else [])]

    def encode(batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        empty = [name for name in removed if None in batch[name]]
        if empty:
            raise ValueError(
                f"Each row must have a text, found none in one of the column {empty[0]!r}. Drop such rows: "
                f"rows.filter(lambda row: row[{empty[0]!r}] is not None)."
            )
        encoded = tokenizer(
            *(_spaced(batch[name]) if spaced else batch[name] for name in columns),
            **cut,
            is_split_into_words=has_words,
        )
        lengths = [len(ids) for ids in encoded["input_ids"]]
        found: dict[str, Any] = dict(encoded)
        if has_second:
            second = tokenizer(batch["second_text"], **cut)
            found["pair_input_ids"] = second["input_ids"]
            lengths = [max(length, len(ids)) for length, ids in zip(lengths, second["input_ids"], strict=True)]
        if max(lengths) > tokenizer.model_max_length:
            raise ValueError(
                f"max_length must be at most the {tokenizer.model_max_length} tokens of the backbone, found "
                f"{max_length} and a text of {max(lengths)} tokens. Lower max_length."
            )
        if word_tasks:
            found["targets"] = [
                targets | {task: _align(targets[task], encoded.word_ids(row)) for task in word_tasks}
                for row, targets in enumerate(batch["targets"])
            ]
        return found | {"length": lengths}  # for train_sampling_strategy=group_by_length

    num_proc = min(os.cpu_count() or 1, len(dataset) // ROWS_PER_PROCESS)
    fingerprint = None
    if tokenizer_hash is not None:
        code = [function.__code__ for function in (encode, _spaced, _align)]
        fingerprint = Hasher.hash([dataset._fingerprint, tokenizer_hash, max_length, columns, spaced, *code])
    tokenized: Dataset = dataset.map(
        encode,
        batched=True,
        remove_columns=removed,
        features=_features(dataset, tokenizer, removed, has_second),
        num_proc=num_proc if num_proc > 1 else None,
        new_fingerprint=fingerprint,
        desc="Tokenising",
    )
    return tokenized


def _check_rows(dataset: Any) -> None:
    if not isinstance(dataset, Dataset):
        instead = "Dataset.from_list(rows)"
        if isinstance(dataset, Mapping):
            instead = "one split at a time, {split: tokenize(rows, ...) for split, rows in data.items()}"
        raise ValueError(f"Rows must be one Dataset, found a {type(dataset).__name__}. Pass {instead}.")
    if not {"text", "words"} & set(dataset.column_names):
        raise ValueError(
            f"Rows must have a column 'text', or 'words', found {dataset.column_names}. Rename the one with the texts: "
            "rows.rename_column(..., 'text')."
        )


def warn_of_cut_texts(splits: Mapping[str, Mapping[str, Dataset]], max_length: int) -> None:
    """Say how many rows are not read to their end, as far as can be told: they fill `max_length` tokens.

    Args:
        splits: Per split and dataset, the tokenised rows.
        max_length: In tokens, special tokens included.
    """
    found = []
    for split, datasets in splits.items():
        lengths = [rows.with_format("numpy")["length"][:] for rows in datasets.values()]
        full = sum(int((lengths_N == max_length).sum()) for lengths_N in lengths)
        found += [f"{full:,} of {sum(map(len, lengths)):,} {split} rows"] if full else []
    if found:
        logger.warning(
            "Texts are read up to max_length=%d tokens, which %s fill. Raise it where their ends matter",
            *(max_length, ", ".join(found)),
        )


def warn_of_lost_words(dataset: Dataset, tokenized: Dataset, max_length: int) -> bool:
    """Say how many labelled words are not read, and whether there are any.

    Args:
        dataset: Mapped rows.
        tokenized: The same behind [`tokenize`].
        max_length: In tokens, special tokens included.
    """
    has_lost = False
    for task in _word_tasks(dataset):
        num_words, num_left = _num_labelled(dataset, task), _num_labelled(tokenized, task)
        if num_left < num_words:
            has_lost = True
            logger.warning(
                "Task %r: %d of %d labelled words have no token within max_length=%d and are left out",
                *(task, num_words - num_left, num_words, max_length),
            )
    return has_lost


def hash_of(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What tells `datasets` whether its cache has what the tokenizer would make; `None` where it cannot be told.

    It takes 0.2 s: who tokenises many datasets asks once.
    """
    try:
        found: str = Hasher.hash(tokenizer)
    except Exception:  # whatever a tokenizer raises that cannot be pickled; `Dataset.map` warns of it
        return None
    return found


def _features(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, removed: list[str], has_second: bool) -> Features:
    """How tokenised rows are stored: as `datasets` would store what the first of them hold, but known before."""
    names = [*tokenizer("a"), *(["pair_input_ids"] if has_second else [])]
    ids = {name: List(Value("int32" if name.endswith("input_ids") else "int8")) for name in names}
    kept = {name: feature for name, feature in dataset.features.items() if name not in removed}
    return Features(kept | ids | {"length": Value("int64")})


def _needs_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether single words are read as in a text only with the space before them, as byte-level tokenizers do."""
    in_text = tokenizer("a a")["input_ids"]
    plain, spaced = (tokenizer(words, is_split_into_words=True)["input_ids"] for words in (["a", "a"], ["a", " a"]))
    return bool(plain != in_text and spaced == in_text)


def _spaced(rows: list[list[str]]) -> list[list[str]]:
    """The words of each row, all but its first with a space before."""
    return [[word if index == 0 else f" {word}" for index, word in enumerate(words)] for words in rows]


def _word_tasks(dataset: Dataset) -> list[str]:
    """Names of the tasks whose targets are labels of words."""
    targets = dataset.features.get("targets", {})
    return [name for name, feature in targets.items() if feature == List(Value("int64"))]


def _align(labels: list[int] | None, word_ids: list[int | None]) -> list[int] | None:
    """The label of each word at its first token, and -100 at all others."""
    if labels is None:
        return None
    previous = [None, *word_ids[:-1]]
    return [
        IGNORE_INDEX if word is None or word == before else labels[word]
        for word, before in zip(word_ids, previous, strict=True)
    ]


def _num_labelled(dataset: Dataset, task: str) -> int:
    targets = pc.list_flatten(pc.struct_field(dataset.with_format("arrow")[:]["targets"], task))
    return int(pc.sum(pc.not_equal(targets, IGNORE_INDEX)).as_py() or 0)
