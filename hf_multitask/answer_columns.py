"""Answers as columns of a table: a label and a score per task, or lists of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from .modeling.entities import is_bio
from .modeling.task import Task

EMBEDDING = "embedding"
"""Column of a text's sentence embedding."""

EMBEDDING_TYPE = pa.list_(pa.float32())
"""Its Arrow type."""


def column_types(tasks: Iterable[Task], top_k: int | None = 1) -> dict[str, pa.DataType]:
    """Per column of the tasks' answers, its Arrow type.

    | kind of task                           | columns                                                                |
    |----------------------------------------|------------------------------------------------------------------------|
    | one label, one of several in an order  | `<task>_label`, `<task>_score`                                         |
    | the same with a `top_k` other than 1   | the same, each a list, the likeliest first                             |
    | any number of labels                   | `<task>_label`, `<task>_score`, each a list, the likeliest first       |
    | a label of each word                   | `<task>_entities`, a list of the pipeline's entities                   |
    | one number, similarity                 | `<task>_score`                                                         |
    | several numbers                        | `<task>_label`, `<task>_score`, each a list in the order of the values |

    Args:
        tasks: The tasks that are answered.
        top_k: How many labels are told; `None` for all.
    """
    types: dict[str, pa.DataType] = {}
    for task in tasks:
        if task.reads_tokens:
            kind = "entity_group" if is_bio(task.labels) else "entity"
            fields = {kind: pa.string(), "score": pa.float64(), "word": pa.string()}
            fields |= {"start": pa.int64(), "end": pa.int64()}
            types[f"{task.name}_entities"] = pa.list_(pa.struct(list(fields.items())))
            continue
        several = bool(task.labels) and (top_k != 1 if task.is_choice else True)
        keys = {"label": pa.string(), "score": pa.float64()} if task.labels else {"score": pa.float64()}
        types |= {f"{task.name}_{key}": pa.list_(kind) if several else kind for key, kind in keys.items()}
    return types


def flatten(tasks: Sequence[Task], answers: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """The columns of [`column_types`] with the pipeline's `answers`, `None` in all of them where there is no answer."""
    columns: dict[str, list[Any]] = {}
    for task in tasks:
        found = [None if answer is None else answer[task.name] for answer in answers]
        if task.reads_tokens:
            columns[f"{task.name}_entities"] = found
            continue
        for key in ("label", "score") if task.labels else ("score",):
            columns[f"{task.name}_{key}"] = [_part(answer, key) for answer in found]
    return columns


def _part(answer: Any, key: str) -> Any:
    if answer is None:
        return None
    return [part[key] for part in answer] if isinstance(answer, list) else answer[key]


def is_missing(value: Any) -> bool:
    """Whether a cell of a text column holds no text: nothing, NaN or NA (of pandas), nothing but space, or no word."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list | tuple | np.ndarray):
        return len(value) == 0
    return value is None or bool(pd.isna(value))


def answer_present(texts: Sequence[tuple[Any, ...]], answer: Callable[[list[Any]], Iterable[Any]]) -> list[Any]:
    """Per text (or pair), its answer; `None` for one that is missing, or a part of which is.

    Args:
        texts: Texts and pairs, as they stand in their columns.
        answer: From those that are there to as many answers.
    """
    answers: list[Any] = [None] * len(texts)
    places = [place for place, text in enumerate(texts) if not any(map(is_missing, text))]
    for place, found in zip(places, answer([texts[place] for place in places]), strict=True):
        answers[place] = found
    return answers


def check_no_clash(columns: Iterable[str], types: Mapping[str, Any]) -> None:
    """Raise where a table has a column of the name of one of the answers'.

    Raises:
        ValueError: It has; the message names the columns.
    """
    both = [name for name in columns if name in types]
    if both:
        raise ValueError(
            f"The columns of the answers, {list(types)}, must not be there already, found {both}. Rename these, or "
            "leave them out."
        )
