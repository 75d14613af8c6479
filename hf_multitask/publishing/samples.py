"""The answers of all tasks to a few texts, readable at a glance."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ..modeling.task import Task

Sample: TypeAlias = tuple[tuple[str, ...], Mapping[str, Any], Mapping[str, Any]]
"""A text or pair, the pipeline's answers, and those with all labels (`top_k=None`)."""

MOST_LABELS = 5
"""Of so many labels a text's probabilities are told."""

MOST_WORDS = 20
"""Of so many words, or entities, a text's labels are told."""


def describe_samples(samples: Sequence[Sample], tasks: Sequence[Task]) -> str:
    """Each text with its tasks' answers: what was decided first, the other labels by their probability behind it.

    Where a text may have any number of labels, those that apply stand before a bar.
    """
    blocks = []
    for text, answers, scores in samples:
        lines = [f"> {' / '.join(textwrap.shorten(part, 300, placeholder=' ...') for part in text)}"]
        told = {
            task.name: _describe(task, answers[task.name], scores[task.name]) for task in tasks if task.name in answers
        }
        width = max(map(len, told), default=0)
        blocks.append("\n".join([*lines, *(f"  {name:<{width}}  {answer}" for name, answer in told.items())]))
    return "\n\n".join(blocks)


def _describe(task: Task, answer: Any, scores: Any) -> str:
    if task.reads_tokens:
        return _list([f"{part['word']} {_kind(part)} {part['score']:.1%}" for part in answer], MOST_WORDS)
    if task.problem_type == "similarity":
        return f"cosine {answer['score']:.4f}"
    if task.problem_type == "regression":
        return "   ".join(f"{part.get('label', '')} {part['score']:.4g}".strip() for part in _as_list(answer))
    given = _as_list(answer)
    others = [part for part in scores if part["label"] not in [found["label"] for found in given]]
    if task.is_choice:
        return _list([_scored(part) for part in given + others], MOST_LABELS)
    before, behind = (_list([_scored(part) for part in parts], MOST_LABELS) for parts in (given, others))
    return f"{before}  |  {behind}" if others else before


def _as_list(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


def _scored(part: Mapping[str, Any]) -> str:
    return f"{' '.join(part['label'].split())} {part['score']:.1%}"


def _kind(word: Mapping[str, Any]) -> str:
    return str(word["entity_group"] if "entity_group" in word else word["entity"])


def _list(parts: Sequence[str], most: int) -> str:
    """The first parts, and how many there are beside them."""
    more = [f"({len(parts) - most} more)"] if len(parts) > most else []
    return "   ".join([*parts[:most], *more]) or "none"
