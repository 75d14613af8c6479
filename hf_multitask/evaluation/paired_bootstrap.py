"""How far a difference between two models could be off, by the rows they are scored on and by their seeds.

Letters of the shapes: R rows with a target, S seeds, B resamples.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from .answers import Answers
from .bootstrap import resamples
from .metric import Metric


def mean_difference(metric: Metric, pairs: Sequence[tuple[Answers, Answers]]) -> float:
    r"""$\frac{1}{S} \sum_s m(a_s) - m(b_s)$ of the metric $m$ and the pairs $(a_s, b_s)$; NaN without numbers."""
    return float(np.mean([first_minus_second(metric, *pair) for pair in pairs]))


def first_minus_second(metric: Metric, first: Answers, second: Answers) -> float:
    """The difference of one pair."""
    return metric.score(first) - metric.score(second)


def paired_interval(
    metric: Metric,
    pairs: Sequence[tuple[Answers, Answers]],
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float] | None:
    r"""Percentile bootstrap interval of [`mean_difference`]; `None` where outputs of a model are no numbers.

    Each resample draws R rows, the same ones for all models (Koehn 2004), which is what another test split might have
    changed. To its mean difference it adds what other seeds might have changed, $t s / \sqrt{S}$: the standard
    deviation $s$ of the S differences, and a quantile $t$ of Student's distribution with S - 1 degrees of freedom, a
    different one in each resample. To draw from three seeds, as from rows, would make a gain of any that agree, which
    three do by chance in one case of four. With one pair the interval is of the rows alone.

    Args:
        metric: By what the answers are judged.
        pairs: Per seed, the answers of two models to the same R rows.
        samples: Number of resamples.
        seed: The resamples are a function of it, R and S alone.
        level: Share of resamples within the interval, in (0, 1).

    Raises:
        ValueError: There is no pair, or the answers are not to the same rows.
    """
    check_same_rows(pairs)
    if not all(answers.is_finite for pair in pairs for answers in pair):
        return None
    differences = [
        [metric.compute(first, weights_BR) - metric.compute(second, weights_BR) for first, second in pairs]
        for weights_BR in resamples(pairs[0][0].row_count, samples, seed)
    ]
    differences_SB = np.concatenate([np.stack(part) for part in differences], axis=1)
    means_B = differences_SB.mean(axis=0)
    if len(pairs) > 1:
        by_seed = [first_minus_second(metric, *pair) for pair in pairs]
        places_B = (np.random.default_rng([seed, 1]).permutation(samples) + 0.5) / samples
        means_B += stats.t.ppf(places_B, len(pairs) - 1) * np.std(by_seed, ddof=1) / np.sqrt(len(pairs))
    low, high = np.quantile(means_B, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_same_rows(pairs: Sequence[tuple[Answers, Answers]]) -> None:
    """Raise unless all answers are to the same targets, in the same order.

    Raises:
        ValueError: There is no pair, or the targets differ.
    """
    if not pairs:
        raise ValueError("A comparison needs the answers of two models, found none. Pass a pair for each seed.")
    reference = pairs[0][0]
    for answers in (answers for pair in pairs for answers in pair):
        same = np.array_equal(answers.rows, reference.rows) and np.array_equal(
            answers.targets, reference.targets, equal_nan=answers.targets.dtype.kind == "f"
        )
        if not same:
            raise ValueError(
                f"Task {reference.task.name!r}: two models must be compared on the same rows, found others "
                f"({reference.row_count} and {answers.row_count} rows). Let both answer one split."
            )
