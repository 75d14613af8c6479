"""From logits to what a user is told of a text, per task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .decoding import decide, probabilities
from .entities import entity_types, find_entities, is_bio
from .task import Task
from .texts import Text
from .words import Word

Scored: TypeAlias = dict[str, Any]
"""`label` and `score`, its calibrated probability."""


def check_top_k(top_k: int | None) -> None:
    """Raise unless `top_k` is a number of labels to tell, or `None` for all of them."""
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"top_k must be at least 1, or None for all labels, found {top_k!r}. Use None.")


def answer_texts(
    tasks: Sequence[Task],
    logits: Mapping[str, NDArray[Any]],
    texts: Sequence[Text],
    words: Sequence[Sequence[Word]],
    top_k: int | None,
) -> list[dict[str, Any]]:
    """Per text, the answer of each task that has logits.

    | kind of task                          | answer                                                                   |
    |---------------------------------------|--------------------------------------------------------------------------|
    | one label, one of several in an order | `label`, `score`                                                         |
    | any number of labels                  | `label`, `score` of each that applies, the likeliest first               |
    | a label of each word, in the BIO form | `entity_group`, `score`, `word`, `start`, `end` of each entity           |
    | a label of each word                  | `entity`, `score`, `word`, `start`, `end` of each word                   |
    | one number, several numbers           | `score`, or `label`, `score` of each, in the user's units                |
    | similarity                            | `score`, the cosine of the two texts                                     |

    Of a text given as its words, `start` and `end` count in these as they are joined by one space each.

    The score of a label is its calibrated probability, that of an entity the mean of its words'. With a `top_k` other
    than 1 the first two kinds have a list of the `top_k` likeliest labels, whichever apply.

    Args:
        tasks: The tasks to answer.
        logits: Per task, (B, C), or (B, L, C) where words have labels.
        texts: The B texts or pairs.
        words: Per text, its words, where words have labels.
        top_k: How many labels to tell; `None` for all.
    """
    answers: list[dict[str, Any]] = [{} for _ in texts]
    for task in tasks:
        if task.name not in logits:
            continue
        if task.reads_tokens:
            found = _of_words(task, logits[task.name], texts, words)
        elif task.has_classes:
            found = _of_labels(task, logits[task.name], top_k)
        else:
            found = _of_numbers(task, logits[task.name])
        for answer, told in zip(answers, found, strict=True):
            answer[task.name] = told
    return answers


def _of_numbers(task: Task, logits_BC: NDArray[Any]) -> Iterator[Any]:
    for numbers in decide(task, logits_BC).tolist():
        if task.labels:
            yield [{"label": name, "score": number} for name, number in zip(task.labels, numbers, strict=True)]
        else:
            yield {"score": numbers[0]}


def _of_labels(task: Task, logits_BC: NDArray[Any], top_k: int | None) -> Iterator[Any]:
    chances_BC = probabilities(task, logits_BC)
    for chances, decision in zip(chances_BC.tolist(), decide(task, logits_BC).tolist(), strict=True):
        ranked = sorted(range(task.num_labels), key=chances.__getitem__, reverse=True)
        if top_k != 1:
            yield [_scored(task, chances, label) for label in ranked[:top_k]]
        elif task.is_choice:
            yield _scored(task, chances, decision)
        else:
            yield [_scored(task, chances, label) for label in ranked if decision[label]]


def _scored(task: Task, chances: Sequence[float], label: int) -> Scored:
    return {"label": task.labels[label], "score": chances[label]}


def _of_words(
    task: Task, logits_BLC: NDArray[Any], texts: Sequence[Text], words: Sequence[Sequence[Word]]
) -> Iterator[list[dict[str, Any]]]:
    bio = is_bio(task.labels)
    types = entity_types(task.labels) if bio else []
    for (text, *_), logits_LC, found in zip(texts, logits_BLC, words, strict=True):
        logits_WC = logits_LC[[word.token for word in found]]
        tags_W = decide(task, logits_WC) if found else np.zeros(0, np.int64)
        scores = probabilities(task, logits_WC).max(axis=-1).tolist() if found else []
        spans = [(place, place, task.labels[tag]) for place, tag in enumerate(tags_W.tolist())]
        if bio:
            entities = find_entities(task.labels, tags_W, np.zeros(len(tags_W), np.int64))
            columns = zip(*(column.tolist() for column in entities), strict=True)
            spans = [(first, last, types[kind]) for first, last, kind in columns]
        yield [
            {
                "entity_group" if bio else "entity": label,
                "score": float(np.mean(scores[first : last + 1])),
                "word": text[found[first].start : found[last].end],
                "start": found[first].start,
                "end": found[last].end,
            }
            for first, last, label in spans
        ]
