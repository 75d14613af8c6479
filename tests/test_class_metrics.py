"""Metrics of decisions among labels: hand-computed, and scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from hf_multitask import Task
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.evaluation.registry import known_metrics

ABC = ("a", "b", "c")


def scores(task, logits, labels):
    answers = read_answers(task, logits, labels)
    return {name: metric.score(answers) for name, metric in known_metrics(task).items()}


def choose(targets, decided, kind="single_label_classification", labels=ABC):
    """Scores of one-hot answers."""
    task = Task(name="t", problem_type=kind, labels=labels)
    logits = 9 * np.eye(len(labels), dtype=np.float32)[list(decided)]
    return scores(task, logits, np.array(targets))


def several(targets, decided, thresholds=None):
    """Scores of answers 0 and 1 for labels of which a text may have any number."""
    decided = np.array(decided)
    task = Task(name="t", problem_type="multi_label_classification", labels=ABC[: decided.shape[1]])
    return scores(task, (8 * decided - 4).astype(np.float32), np.array(targets, dtype=np.float32))


def test_choices_by_hand():
    found = choose([0, 0, 1, 1], [0, 1, 1, 1])  # of c there is nothing
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["f1:a"] == pytest.approx(2 / 3)
    assert found["f1:b"] == pytest.approx(4 / 5)
    assert found["f1:c"] == 0
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["precision:b"] == pytest.approx(2 / 3)
    assert found["recall:a"] == pytest.approx(1 / 2)
    assert found["matthews_correlation"] == pytest.approx(1 / 3**0.5)


def test_a_class_that_is_answered_but_never_right_counts_in_the_macro_average():
    assert choose([0, 0, 1, 1], [0, 0, 1, 2])["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_choices_are_scored_as_scikit_learn_scores_them():
    generator = np.random.default_rng(0)
    for _ in range(20):
        y, x = generator.integers(0, 3, (2, 15))
        found = choose(y, x)
        for score in ("f1", "precision", "recall"):
            for average in ("micro", "macro", "weighted"):
                function = getattr(sklearn_metrics, f"{score}_score")
                assert found[f"{score}_{average}"] == pytest.approx(function(y, x, average=average, zero_division=0))
        assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(y, x))
        assert found["matthews_correlation"] == pytest.approx(sklearn_metrics.matthews_corrcoef(y, x))


def test_ordinal_by_hand():
    found = choose([0, 1, 2, 2], [0, 2, 2, 0], kind="ordinal")
    assert found["accuracy"] == pytest.approx(1 / 2)
    assert found["mae"] == pytest.approx((0 + 1 + 0 + 2) / 4)
    # Squared distances (0 + 1 + 0 + 4) / 4; by chance, over all 16 pairs of an answer and a target: 28 / 16.
    assert found["quadratic_kappa"] == pytest.approx(1 - (5 / 4) / (28 / 16))


def test_quadratic_kappa_is_scikit_learns():
    y, x = np.random.default_rng(0).integers(0, 3, (2, 40))
    expected = sklearn_metrics.cohen_kappa_score(y, x, weights="quadratic")
    assert choose(y, x, kind="ordinal")["quadratic_kappa"] == pytest.approx(expected)


def test_an_ordinal_answer_is_the_median_and_not_the_likeliest():
    task = Task(name="t", problem_type="ordinal", labels=ABC)
    logits = np.log(np.array([[0.4, 0.25, 0.35]], dtype=np.float32))
    assert scores(task, logits, np.array([1]))["accuracy"] == 1


def test_one_label_everywhere_is_scored_without_a_warning():
    found = choose([1, 1], [1, 1], kind="ordinal")
    assert found["accuracy"] == found["f1_macro"] == 1
    assert found["matthews_correlation"] == found["quadratic_kappa"] == found["spearman"] == 0


def test_one_row_is_scored_without_a_warning():
    found = choose([1], [2], kind="ordinal")
    assert found["accuracy"] == found["f1_macro"] == found["matthews_correlation"] == found["quadratic_kappa"] == 0
    assert found["mae"] == 1


def test_several_labels_by_hand():
    found = several([[1, 0], [1, 1], [0, 1]], [[1, 0], [0, 1], [1, 1]])
    assert found["f1:a"] == pytest.approx(1 / 2)  # one hit, two given, two right
    assert found["f1:b"] == 1
    assert found["f1_macro"] == pytest.approx(3 / 4)
    assert found["f1_micro"] == pytest.approx(2 * 3 / (4 + 4))
    assert found["exact_match"] == pytest.approx(1 / 3)


def test_several_labels_are_scored_as_scikit_learn_scores_them():
    generator = np.random.default_rng(0)
    for _ in range(20):
        y, x = generator.integers(0, 2, (2, 12, 3))
        found = several(y, x)
        for average in ("micro", "macro", "weighted"):
            expected = sklearn_metrics.f1_score(y, x, average=average, zero_division=np.nan)
            assert found[f"f1_{average}"] == pytest.approx(expected)
        assert found["exact_match"] == pytest.approx(sklearn_metrics.accuracy_score(y, x))


def test_a_label_that_occurs_nowhere_is_left_out_of_the_macro_average():
    assert several([[1, 0], [0, 0]], [[1, 0], [0, 0]])["f1_macro"] == 1


def test_no_label_given_and_none_right_is_scored_without_a_warning():
    found = several([[0, 0]], [[0, 0]])
    assert found["f1_macro"] == found["f1_micro"] == 0
    assert found["exact_match"] == 1


def test_elements_without_a_target_do_not_count():
    nan = np.nan
    found = several([[1, nan], [nan, 0], [nan, nan]], [[1, 1], [1, 0], [1, 1]])
    assert found["f1:a"] == found["exact_match"] == found["f1_micro"] == 1
    assert found["precision:b"] == 0  # the b's given are those without a target


def test_decisions_use_the_thresholds():
    task = Task(name="t", problem_type="multi_label_classification", labels=("a",), thresholds=(0.9,))
    logits = np.log(np.array([[0.8 / 0.2], [0.95 / 0.05]], dtype=np.float32))
    assert scores(task, logits, np.array([[0.0], [1.0]]))["exact_match"] == 1


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.7, 0.3], [0.3, 0.7]], dtype=np.float32)
    task = Task(name="t", labels=("a", "b"))
    # Bin of 0.9: one of two right, gap 0.4, two rows; bin of 0.7: both right, gap 0.3, two rows.
    assert scores(task, np.log(p), np.array([0, 1, 0, 1]))["ece"] == pytest.approx(0.4 * 2 / 4 + 0.3 * 2 / 4, abs=1e-6)


def test_calibration_error_of_several_labels_pools_them():
    p = np.array([[0.9, 0.1], [0.9, 0.1]], dtype=np.float32)
    task = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"))
    targets = np.array([[1.0, 0.0], [0.0, np.nan]])
    # Bin of 0.9: mean outcome 1/2, two elements; bin of 0.1: outcome 0, one element; the fourth does not count.
    found = scores(task, np.log(p / (1 - p)), targets)["ece"]
    assert found == pytest.approx((2 * 0.4 + 0.1) / 3, abs=1e-6)


def test_calibration_error_follows_the_temperature():
    logits = np.array([[2.0, 0.0]], dtype=np.float32)
    task = Task(name="t", labels=("a", "b"), temperature=2.0)
    assert scores(task, logits, np.array([0]))["ece"] == pytest.approx(1 - 1 / (1 + np.exp(-1)), abs=1e-6)


def test_tokens_without_a_target_do_not_count():
    task = Task(name="t", problem_type="token_classification", labels=ABC)
    logits = np.full((2, 3, 3), -100.0, dtype=np.float32)  # what the Trainer pads with
    logits[0, :2] = np.eye(3)[[0, 1]]
    logits[1, :3] = np.eye(3)[[2, 2, 1]]
    found = scores(task, logits, np.array([[0, 1, -100], [2, 0, -100]]))
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["f1:c"] == pytest.approx(2 / 3)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)


def test_a_diverged_model_has_nan_scores_and_no_warning():
    found = scores(Task(name="t", labels=("a", "b")), np.full((2, 2), np.nan, dtype=np.float32), np.array([0, 1]))
    assert all(np.isnan(value) for value in found.values())


def test_a_split_without_targets_has_no_answers():
    assert read_answers(Task(name="t", labels=("a", "b")), np.zeros((2, 2)), np.array([-100, -100])) is None
