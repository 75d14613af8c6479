"""What is computed from the training targets is what scikit-learn and numpy compute from the plain values."""

import logging

import numpy as np
import pytest
from datasets import Dataset, Features
from sklearn.utils.class_weight import compute_class_weight

from hf_multitask import Task
from hf_multitask.data.statistics import balanced_weights, count_targets, fit_tasks, label_counts, standardisation
from hf_multitask.data.targets import target_feature
from hf_multitask.settings.task_settings import TaskSettings

TOPIC = Task(name="t", labels=("a", "b", "c"))
SEVERAL = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"))
WORDS = Task(name="t", problem_type="token_classification", labels=("O", "PER"))
PRICE = Task(name="t", problem_type="regression")
POINT = Task(name="t", problem_type="regression", labels=("x", "y"))
ALIKE = Task(name="t", problem_type="similarity")
NAN = float("nan")


def rows(task: Task, *targets) -> Dataset:
    features = Features({"targets": {"t": target_feature(task)}})
    return Dataset.from_dict({"targets": [{"t": target} for target in targets]}, features)


def fitted(task: Task, train: Dataset, *others: Dataset, **settings) -> Task:
    splits = {"train": [train], "test": list(others)}
    return fit_tasks([task], {"t": TaskSettings(**settings)}, splits)[0]


@pytest.mark.parametrize(
    ("task", "targets", "counts", "known"),
    [
        (TOPIC, [0, 1, 1, None], [1, 2, 0], 3),
        (SEVERAL, [[1, 0], [1, 1], [NAN, 0], None, [NAN, NAN]], [2, 1], 3),
        (WORDS, [[0, 1, -100], None, [0, 0], []], [3, 1], 4),
    ],
)
def test_labels_are_counted_over_all_rows_with_a_target(task, targets, counts, known):
    datasets = [rows(task, *targets[:2]), rows(task, *targets[2:])]
    assert label_counts(task, datasets).tolist() == counts
    assert count_targets(task, datasets) == known


def test_counts_are_those_of_selected_rows_only():
    assert label_counts(TOPIC, [rows(TOPIC, 0, 1, 2, 2).select([3, 1])]).tolist() == [0, 1, 1]


def test_balanced_weights_of_classes_are_scikit_learns():
    targets = [0] * 5 + [1] * 2 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    found = fitted(TOPIC, rows(TOPIC, *targets, None), class_weights="balanced").class_weights
    np.testing.assert_allclose(found, expected)


def test_balanced_weights_of_several_labels_are_negatives_per_positive():
    found = balanced_weights(SEVERAL, [rows(SEVERAL, [1, 0], [0, 1], [0, NAN], [0, 1])])
    np.testing.assert_allclose(found, [3.0, 0.5])


@pytest.mark.parametrize(
    ("task", "targets", "weights", "label"),
    [(TOPIC, [0, 0, 0, 1], [2 / 3, 2, 1], "c"), (SEVERAL, [[1, 1], [0, 1]], [1, 1], "b")],
)
def test_a_label_that_has_no_balanced_weight_gets_1_with_a_warning(task, targets, weights, label, caplog):
    np.testing.assert_allclose(balanced_weights(task, [rows(task, *targets)]), weights)
    assert f"Task 't': balanced class weights are 1 for ['{label}']" in caplog.text


def test_weights_that_are_not_balanced_stay(caplog):
    task = Task(name="t", labels=("a", "b", "c"), class_weights=(1, 2, 3))
    assert fitted(task, rows(task, 0, 1), class_weights=[1, 2, 3]).class_weights == (1, 2, 3)


def test_a_regression_is_standardised_by_its_known_training_targets():
    task = fitted(POINT, rows(POINT, [1, 10], [3, NAN], None, [5, 40]), rows(POINT, [1000, 1000]))
    np.testing.assert_allclose(task.target_mean, [3, 25])
    np.testing.assert_allclose(task.target_std, [np.std([1, 3, 5]), np.std([10, 40])])


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        (PRICE, [[2], [2]], "found only 2.0 for 't'"),
        (POINT, [[1, NAN], [2, NAN]], "found none for 'y'"),
    ],
)
def test_targets_that_are_all_equal_are_refused(task, targets, message):
    with pytest.raises(ValueError, match=f"Task 't': the training targets of a regression must differ, {message}"):
        standardisation(task, [rows(task, *targets)])


def test_equal_targets_whose_mean_rounds_are_refused():
    with pytest.raises(ValueError, match="must differ"):
        standardisation(PRICE, [rows(PRICE, *[[0.1]] * 7)])


def test_scores_in_0_to_1_need_no_range():
    assert fitted(ALIKE, rows(ALIKE, [0.2], [0.9])).score_range is None


def test_scores_beyond_have_the_range_of_all_splits(caplog):
    assert fitted(ALIKE, rows(ALIKE, [1.5], [4]), rows(ALIKE, [5])).score_range == (1.5, 5.0)
    assert "Task 't': scores are from 1.5 to 5" in caplog.text


def test_a_given_score_range_stays(caplog):
    task = Task(name="t", problem_type="similarity", score_range=(0, 5))
    assert fitted(task, rows(task, [1.5], [4])).score_range == (0.0, 5.0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_scores_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match=r"Task 't': scores must differ, or be in \[0, 1\], found only 4\.0"):
        fitted(ALIKE, rows(ALIKE, [4], [4]))
