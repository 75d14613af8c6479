"""Metrics of decisions among labels.

Letters of the shapes: n answers, R rows, B weightings of the rows, C labels.
"""

import numpy as np

from .answers import Answers, Floats, divided, row_sums
from .counts import count_classes

BINS = 15
"""Bins of the expected calibration error, the number of Guo et al. 2017."""


def accuracy(answers: Answers, weights_BR: Floats) -> Floats:
    """Share of texts, or tokens, whose label is right."""
    counts = count_classes(answers, weights_BR).summed()
    return counts.recall()[:, 0]


def matthews_correlation(answers: Answers, weights_BR: Floats) -> Floats:
    """Correlation of answered and right label; 0 where either is the same everywhere (scikit-learn's convention)."""
    hit, predicted, actual = count_classes(answers, weights_BR)
    n = actual.sum(axis=-1)
    shared = hit.sum(axis=-1) * n - (predicted * actual).sum(axis=-1)
    spread = (n**2 - (predicted**2).sum(axis=-1)) * (n**2 - (actual**2).sum(axis=-1))
    return divided(shared, np.sqrt(spread))


def mean_absolute_rank_error(answers: Answers, weights_BR: Floats) -> Floats:
    """Mean number of ranks between the answer and the right label."""
    return divided(weights_BR @ np.abs(answers.decided - answers.targets).astype(np.float64), weights_BR.sum(axis=-1))


def quadratic_kappa(answers: Answers, weights_BR: Floats) -> Floats:
    """1 - the mean squared distance in ranks over that of unrelated answers with the same shares of labels.

    0 where those would have none: all answers and all targets are one label.
    """
    x, y = answers.decided.astype(np.float64), answers.targets.astype(np.float64)
    moments = weights_BR @ np.stack([(x - y) ** 2, x, y, x**2 + y**2], axis=-1)
    found, x_B, y_B, squares = divided(moments, weights_BR.sum(axis=-1, keepdims=True)).T
    by_chance = squares - 2 * x_B * y_B
    return np.where(by_chance > 0, 1 - divided(found, by_chance), 0.0)


def exact_match(answers: Answers, weights_BR: Floats) -> Floats:
    """Share of texts of which every label that has a target is right."""
    right = (~answers.known | ((answers.decided > 0) == (answers.targets > 0.5))).all(axis=-1)
    return divided(weights_BR @ right.astype(np.float64), weights_BR.sum(axis=-1))


def calibration_error(answers: Answers, weights_BR: Floats) -> Floats:
    r"""Expected calibration error (Guo et al. 2017), $\sum_b \frac{n_b}{n} |\mathrm{acc}_b - \mathrm{conf}_b|$.

    Over 15 bins of equal width, of the likeliest label's probability and whether that label is right; where a text may
    have any number of labels, of the probabilities of all labels that have a target and whether they apply.
    """
    assert answers.probabilities is not None, "a task with labels has probabilities"
    if answers.task.is_choice:
        confidence, rows = answers.probabilities.max(axis=-1), answers.rows
        right = answers.probabilities.argmax(axis=-1) == answers.targets
    else:
        known = answers.known
        confidence, right = answers.probabilities[known], answers.targets[known] > 0.5
        rows = np.broadcast_to(answers.rows[:, None], known.shape)[known]
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = row_sums(weights_BR, rows, bins, right - confidence, BINS)
    total = row_sums(weights_BR, rows, np.zeros_like(bins), 1, 1)[:, 0]
    return divided(np.abs(gaps).sum(axis=-1), total)
