"""The answers of all tasks to a few texts, readable at a glance."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

MOST_LABELS = 5
"""Of so many labels a text's probabilities are told."""

MOST_WORDS = 20
"""Of so many words a text's labels are told."""

OUTSIDE = "O"
"""Label of words that belong to no entity, which go without saying."""


def describe_samples(samples: Sequence[tuple[tuple[str, ...], Mapping[str, Mapping[str, Any]]]]) -> str:
    """Each text with its tasks' answers: the label first, the others by their probability behind it.

    Where a text may have any number of labels, those that apply stand before a bar.
    """
    blocks = []
    for text, answers in samples:
        lines = [f"> {' / '.join(textwrap.shorten(part, 300, placeholder=' ...') for part in text)}"]
        width = max(map(len, answers), default=0)
        lines += [f"  {name:<{width}}  {_describe_answer(answer)}" for name, answer in answers.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _describe_answer(answer: Mapping[str, Any]) -> str:
    if "labels" in answer:
        given = {label: answer["probabilities"][label] for label in answer["labels"]}
        others = {label: p for label, p in answer["probabilities"].items() if label not in given}
        return "  |  ".join(part for part in (_ranked(given) or "none", _ranked(others)) if part)
    if "probabilities" in answer:
        return _ranked(answer["probabilities"], first=answer["label"])
    if "words" in answer:
        return _describe_words(answer["words"])
    if "values" in answer:
        return "   ".join(f"{name} {value:.4g}" for name, value in answer["values"].items())
    return f"cosine {answer['cosine']:.4f}" if "cosine" in answer else f"{answer['value']:.4g}"


def _ranked(probabilities: Mapping[str, float], first: str | None = None) -> str:
    ranked = sorted(probabilities, key=lambda label: (label != first, -probabilities[label]))
    told = [f"{' '.join(label.split())} {probabilities[label]:.1%}" for label in ranked[:MOST_LABELS]]
    more = len(ranked) - len(told)
    return "   ".join([*told, f"({more} more)"] if more else told)


def _describe_words(words: Sequence[Mapping[str, Any]]) -> str:
    labelled = [word for word in words if word["label"] != OUTSIDE]
    if not labelled:
        return f"{OUTSIDE} for all {len(words)} words"
    told = [f"{word['word']} {word['label']} {word['probability']:.1%}" for word in labelled[:MOST_WORDS]]
    more = len(labelled) - len(told)
    return "   ".join([*told, f"({more} more)"] if more else told)
