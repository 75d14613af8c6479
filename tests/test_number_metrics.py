"""Metrics of numbers: hand-computed, and scipy's and scikit-learn's."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from hf_multitask import Task
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.evaluation.registry import known_metrics


def task_of(kind, **settings):
    return Task(name="t", problem_type=kind, **settings)


def scores(answers, targets, task=None):
    task = task or task_of("regression", labels=[f"v{i}" for i in range(np.ndim(answers) > 1 and len(answers[0]))])
    as_rows = [np.array(values, dtype=np.float64).reshape(len(values), -1) for values in (answers, targets)]
    read = read_answers(task, as_rows[0].astype(np.float32), as_rows[1])
    return {name: metric.score(read) for name, metric in known_metrics(task).items() if metric.holds(read)}


def test_a_regression_by_hand():
    found = scores([1, 2, 4], [1, 3, 2])
    assert found["mae"] == pytest.approx((0 + 1 + 2) / 3)
    assert found["rmse"] == pytest.approx((5 / 3) ** 0.5)
    assert found["r2"] == pytest.approx(1 - 5 / 2)
    assert found["spearman"] == pytest.approx(0.5)
    assert found["pearson"] == pytest.approx(1 / (14 / 3 * 2) ** 0.5)


def test_a_regression_is_scored_as_scipy_and_scikit_learn_score_it():
    generator = np.random.default_rng(0)
    for _ in range(20):
        x, y = np.round(generator.normal(size=(2, 12)), 0) + 1_000_000  # ties, far from 0
        found = scores(x, y)
        assert found["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
        assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(y, x))
        assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(y, x))
        assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(y, x))


def test_scores_of_several_values_are_means_over_the_values():
    x, y = np.random.default_rng(0).normal(size=(2, 10, 3)).astype(np.float32)
    found = scores(x, y)
    assert found["pearson"] == pytest.approx(np.mean([stats.pearsonr(x[:, i], y[:, i]).statistic for i in range(3)]))
    assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(y, x), rel=1e-6)
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(y, x), rel=1e-6)


def test_values_without_a_target_do_not_count():
    nan = np.nan
    found = scores([[1, 5, 0], [2, 5, 0], [3, 9, 0]], [[1, 7, nan], [nan, 7, nan], [5, nan, nan]])
    assert found["mae"] == pytest.approx(((0 + 2) / 2 + (2 + 2) / 2) / 2)  # the third value has no target at all


def test_a_constant_has_no_correlation_and_no_warning():
    for x, y in (([0.1, 0.1, 0.1], [1, 2, 3]), ([1, 2, 3], [0.1, 0.1, 0.1]), ([2, 2], [2, 2]), ([1], [2])):
        found = scores(x, y)
        assert found["pearson"] == found["spearman"] == 0


def test_constant_targets_are_explained_only_without_an_error():
    assert scores([3, 3], [3, 3])["r2"] == 1
    assert scores([3, 4], [3, 3])["r2"] == 0


def test_similarity_is_scored_against_scores_of_any_range():
    task = task_of("similarity", score_range=(0, 5))
    found = scores([0.1, 0.4, 0.9], [0, 3, 5], task)
    assert found["spearman"] == 1
    assert found["pearson"] == pytest.approx(stats.pearsonr([0.1, 0.4, 0.9], [0, 3, 5]).statistic, rel=1e-6)
    assert "average_precision" not in found  # 3 is neither alike nor not


def test_texts_without_a_partner_do_not_count():
    found = scores([0.1, np.nan, 0.9, 0.5], [0, np.nan, 1, 1], task_of("similarity"))
    assert found["pearson"] == pytest.approx(stats.pearsonr([0.1, 0.9, 0.5], [0, 1, 1]).statistic, rel=1e-6)


def test_average_precision_by_hand():
    found = scores([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], task_of("similarity"))
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_is_scikit_learns_also_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(20):
        x, y = np.round(generator.random(15), 1).astype(np.float32), generator.integers(0, 2, 15)
        y[0] = 1
        found = scores(x, 5 * y, task_of("similarity", score_range=(0, 5)))
        assert found["average_precision"] == pytest.approx(sklearn_metrics.average_precision_score(y, x))


def test_without_a_positive_pair_average_precision_is_zero():
    assert scores([0.9, 0.8], [0, 0], task_of("similarity"))["average_precision"] == 0


def test_a_row_counted_twice_is_a_row_that_occurs_twice():
    generator = np.random.default_rng(0)
    x, y = np.round(generator.random((2, 8)), 1).astype(np.float32)
    y = (y > 0.5).astype(np.float32)
    weights = generator.integers(0, 3, (1, 8))
    for task in (task_of("similarity"), task_of("regression")):
        once = read_answers(task, x[:, None], y[:, None])
        repeated = read_answers(task, np.repeat(x, weights[0])[:, None], np.repeat(y, weights[0])[:, None])
        for metric in known_metrics(task).values():
            found = metric.compute(once, weights.astype(np.float64))
            assert found == pytest.approx(metric.score(repeated)), metric.name


def test_an_extreme_value_that_was_not_drawn_does_not_count():
    generator = np.random.default_rng(0)
    y = np.exp(generator.normal(size=40)).astype(np.float32)
    y[0] = 3e8
    x = (y * (1 + 0.3 * generator.normal(size=40))).astype(np.float32)
    drawn = generator.integers(0, 40, (50, 40))
    weights = np.stack([np.bincount(rows, minlength=40) for rows in drawn]).astype(np.float64)
    answers = read_answers(task_of("regression"), x[:, None], y[:, None])
    explicit = {
        "pearson": [
            stats.pearsonr(*values[:, rows].astype(np.float64))[0] for rows in drawn for values in [np.stack([x, y])]
        ],
        "r2": [sklearn_metrics.r2_score(y[rows].astype(np.float64), x[rows].astype(np.float64)) for rows in drawn],
    }
    assert 5 < (weights[:, 0] == 0).sum() < 45
    for name, expected in explicit.items():
        found = known_metrics(task_of("regression"))[name].compute(answers, weights)
        assert found == pytest.approx(expected, rel=1e-6), name


def test_a_flat_column_of_numbers_is_one_value_per_row():
    answers = read_answers(task_of("regression"), np.zeros((3, 1), dtype=np.float32), np.array([1.0, np.nan, 3.0]))
    assert answers.targets.tolist() == [[1.0], [3.0]]


def test_equal_texts_rank_alike_whatever_shared_their_batch():
    task = Task(name="alike", problem_type="similarity")
    cosines = np.array([[0.99999988], [1.0], [1.00000024], [0.5]], dtype=np.float32)
    decided = read_answers(task, cosines, np.array([[1.0], [1.0], [1.0], [0.0]])).decided
    assert decided.ravel().tolist() == [1.0, 1.0, 1.0, 0.5]
