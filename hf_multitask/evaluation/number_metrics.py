"""Metrics of answers that are numbers, or ranks.

Letters of the shapes: n rows with a target, B weightings of the rows, G groups of equal values.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..modeling.task import Task
from .answers import Answers, Floats, divided

CONSTANT = 1e-14
"""Variance, over the square of the largest deviation of a row that counts, up to which values count as all the same."""


def pearson(answers: Answers, weights_BR: Floats) -> Floats:
    """Linear correlation of answers and targets, the mean over the task's values; 0 where either is constant."""
    return _mean_over_values(answers, weights_BR, _correlation)


def spearman(answers: Answers, weights_BR: Floats) -> Floats:
    """Linear correlation of the ranks of answers and targets, equal ones sharing the mean of their ranks.

    The mean over the task's values; 0 where either is constant.
    """
    return _mean_over_values(
        answers, weights_BR, lambda x, y, weights: _correlation(_ranks(x, weights), _ranks(y, weights), weights)
    )


def root_mean_squared_error(answers: Answers, weights_BR: Floats) -> Floats:
    """Square root of the mean squared error, the mean over the task's values."""
    return _mean_over_values(answers, weights_BR, lambda x, y, weights: np.sqrt(_mean((x - y) ** 2, weights)))


def mean_absolute_error(answers: Answers, weights_BR: Floats) -> Floats:
    """Mean absolute error, the mean over the task's values."""
    return _mean_over_values(answers, weights_BR, lambda x, y, weights: _mean(np.abs(x - y), weights))


def explained_variance(answers: Answers, weights_BR: Floats) -> Floats:
    """1 - the mean squared error over the variance of the targets (R²), the mean over the task's values.

    Where the targets are constant, 1 for answers without an error and 0 for others (scikit-learn's convention).
    """
    return _mean_over_values(answers, weights_BR, _r2)


def average_precision(answers: Answers, weights_BR: Floats) -> Floats:
    r"""Area below the steps of the precision-recall curve, $\sum_k (R_k - R_{k-1}) P_k$; 0 without a positive row."""
    x, weights_BR = answers.decided[:, 0], weights_BR[:, answers.rows]
    positive = answers.targets[:, 0] == _scores(answers.task)[1]
    _, group_n = np.unique(-x, return_inverse=True)  # from the most alike on
    found_BG = _group_sums(group_n, weights_BR * positive)
    hits, taken = found_BG.cumsum(axis=-1), _group_sums(group_n, weights_BR).cumsum(axis=-1)
    return divided((found_BG * divided(hits, taken)).sum(axis=-1), hits[:, -1])


def has_two_scores(answers: Answers) -> bool:
    """Whether every target is the lowest or the highest score of the task's range."""
    return bool(np.isin(answers.targets, _scores(answers.task)).all())


def _scores(task: Task) -> tuple[float, float]:
    low, high = task.score_range or (0.0, 1.0)
    return float(np.float32(low)), float(np.float32(high))  # as the labels of a batch are


def _mean_over_values(
    answers: Answers, weights_BR: Floats, compute: Callable[[Floats, Floats, Floats], Floats]
) -> Floats:
    """Mean of `compute` over those of the task's values that have a target in a row that counts, (B,)."""
    total, values = np.zeros(len(weights_BR)), np.zeros(len(weights_BR))
    for x, y, weights_Bn in _values(answers, weights_BR):
        counts_B = weights_Bn.sum(axis=-1) > 0
        total += np.where(counts_B, compute(x, y, weights_Bn), 0.0)
        values += counts_B
    return divided(total, values)


def _values(answers: Answers, weights_BR: Floats) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Per value of the task that has any target: answers (n,), targets (n,) and weights (B, n)."""
    count = len(answers.decided)
    x_nC, y_nC = (values.reshape(count, -1).astype(np.float64) for values in (answers.decided, answers.targets))
    for x_n, y_n in zip(x_nC.T, y_nC.T, strict=True):
        known = ~np.isnan(y_n)
        if known.any():
            yield x_n[known], y_n[known], weights_BR[:, answers.rows[known]]


def _mean(values: Floats, weights_Bn: Floats) -> Floats:
    """Weighted mean, (B,), of values (n,) or (B, n); 0 without weights."""
    summed = weights_Bn @ values if values.ndim == 1 else (weights_Bn * values).sum(axis=-1)
    return divided(summed, weights_Bn.sum(axis=-1))


def _centred(values: Floats, weights_Bn: Floats) -> tuple[Floats, Floats]:
    """Values (n,) or (B, n) less their weighted mean, over the largest deviation of one with weight, and that, (B, 1).

    Both are 0 where all values with weight are the same.
    """
    centre = _mean(values, weights_Bn)[:, None]
    deviations = np.where(weights_Bn > 0, values - centre, 0.0)
    largest = np.abs(deviations).max(axis=-1, keepdims=True)
    largest = np.where(largest > 1e-13 * np.abs(centre), largest, 0.0)
    return divided(deviations, largest), largest


def _correlation(x: Floats, y: Floats, weights_Bn: Floats) -> Floats:
    (x, _), (y, _) = _centred(x, weights_Bn), _centred(y, weights_Bn)
    x_B, y_B = _mean(x, weights_Bn), _mean(y, weights_Bn)
    x_variance, y_variance = _mean(x**2, weights_Bn) - x_B**2, _mean(y**2, weights_Bn) - y_B**2
    varies = (x_variance > CONSTANT) & (y_variance > CONSTANT)
    spread = np.sqrt(np.where(varies, x_variance * y_variance, 0.0))
    return np.clip(divided(_mean(x * y, weights_Bn) - x_B * y_B, spread), -1.0, 1.0)


def _r2(x: Floats, y: Floats, weights_Bn: Floats) -> Floats:
    errors = _mean((x - y) ** 2, weights_Bn)
    z, scale = _centred(y, weights_Bn)
    variance = _mean(z**2, weights_Bn) - _mean(z, weights_Bn) ** 2
    variance = np.where(variance > CONSTANT, variance, 0.0) * scale[:, 0] ** 2
    return np.where(variance > 0, 1 - divided(errors, variance), np.where(errors > 0, 0.0, 1.0))


def _group_sums(group_n: NDArray[Any], weights_Bn: Floats) -> Floats:
    """Sum of the weights of each group, (B, G), the groups numbered from 0."""
    order = np.argsort(group_n, kind="stable")
    starts = np.flatnonzero(np.diff(group_n[order], prepend=-1))
    return np.add.reduceat(weights_Bn[:, order], starts, axis=-1)


def _ranks(values_n: Floats, weights_Bn: Floats) -> Floats:
    """Rank of each value among the weighted ones, (B, n), equal values sharing the mean of theirs."""
    _, group_n = np.unique(values_n, return_inverse=True)
    size_BG = _group_sums(group_n, weights_Bn)
    return (size_BG.cumsum(axis=-1) - (size_BG - 1) / 2)[:, group_n]
