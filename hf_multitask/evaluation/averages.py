"""Precision, recall and F1, of one class or averaged over all."""

from collections.abc import Callable
from typing import TypeAlias

from .answers import Answers, Floats
from .counts import Counts
from .metric import Metric

Counter: TypeAlias = Callable[[Answers, Floats], Counts]

SCORES: dict[str, tuple[str, Callable[[Counts], Floats]]] = {
    "f1": ("F1", Counts.f1),
    "precision": ("precision", Counts.precision),
    "recall": ("recall", Counts.recall),
}
"""Key -> how it is written, and what it is per class."""

AVERAGES: dict[str, Callable[[Counts, Callable[[Counts], Floats]], Floats]] = {
    "micro": lambda counts, score: score(counts.summed())[:, 0],
    "macro": lambda counts, score: counts.macro(score(counts)),
    "weighted": lambda counts, score: counts.weighted(score(counts)),
}
"""Key -> how the scores of all classes become one."""


def averaged(count: Counter, score: str, average: str) -> Metric:
    """The metric `<score>_<average>` of what `count` counts."""
    title, per_class = SCORES[score]

    def compute(answers: Answers, weights_BR: Floats) -> Floats:
        return AVERAGES[average](count(answers, weights_BR), per_class)

    return Metric(f"{score}_{average}", f"{average.capitalize()} {title}", True, compute)


def of_class(count: Counter, score: str, label: str, index: int) -> Metric:
    """The metric `<score>:<label>`, of the class with that index among what `count` counts."""
    title, per_class = SCORES[score]

    def compute(answers: Answers, weights_BR: Floats) -> Floats:
        return per_class(count(answers, weights_BR))[:, index]

    return Metric(f"{score}:{label}", f"{title[0].upper()}{title[1:]} of {label}", True, compute)
