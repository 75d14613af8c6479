"""Average and worst of all tasks, and which way each number is good."""

import numpy as np
import pytest
from transformers import EvalPrediction

from hf_multitask import MultiTaskMetrics, Task
from hf_multitask.evaluation.overall import direction, overall_scores

A = Task(name="a", labels=("x", "y"), loss_weight=3.0)
B = Task(name="b", problem_type="regression", loss_weight=1.0)
SILENT = Task(name="silent", labels=("x", "y"), loss_weight=0.0)
ERROR = Task(name="e", problem_type="regression", primary_metric="rmse")
ERROR_2 = Task(name="e2", problem_type="ordinal", labels=("x", "y"), primary_metric="mae")


def test_the_average_is_weighted_by_the_losses_weights():
    assert overall_scores([A, B], {"a": 0.8, "b": 0.4}) == {"average": pytest.approx(0.7), "worst": 0.4}


def test_a_task_without_weight_or_without_rows_is_left_out():
    assert overall_scores([A, B, SILENT], {"a": 0.8, "silent": 0.1}) == {"average": pytest.approx(0.8), "worst": 0.8}
    assert overall_scores([A, SILENT], {"silent": 0.1}) == {}


def test_the_worst_of_errors_is_the_largest():
    assert overall_scores([ERROR, ERROR_2], {"e": 0.5, "e2": 2.0}) == {"average": 1.25, "worst": 2.0}


def test_metrics_of_two_directions_have_no_average():
    assert overall_scores([A, ERROR], {"a": 0.8, "e": 0.5}) == {}


def test_a_diverged_task_is_not_averaged_away():
    for primaries in ({"a": 0.8, "b": np.nan}, {"a": np.nan, "b": 0.8}):
        assert all(np.isnan(value) for value in overall_scores([A, B], primaries).values())


def test_the_metrics_hold_average_and_worst_of_the_primary_ones():
    logits = {"a": np.eye(2, dtype=np.float32)[[0, 1]], "b": np.array([[1.0], [2.0]], dtype=np.float32)}
    label_ids = {"a": np.array([0, 1]), "b": np.array([[2.0], [1.0]])}
    found = MultiTaskMetrics([A, B])(EvalPrediction(predictions=logits, label_ids=label_ids))
    assert found["a_f1_macro"] == 1
    assert found["b_pearson"] == pytest.approx(-1)
    assert found["average"] == pytest.approx((3 * 1 + 1 * -1) / 4)
    assert found["worst"] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("key", "higher"),
    [
        ("eval_a_f1_macro", True),
        ("a_f1_macro", True),
        ("test_b_rmse", False),
        ("eval_b_r2", True),
        ("eval_loss", False),
        ("eval_a_loss", False),
        ("loss", False),
        ("eval_average", True),
        ("worst", True),
    ],
)
def test_the_direction_of_every_result_is_known(key, higher):
    assert direction([A, B], key) is higher


def test_average_and_worst_of_errors_are_better_lower():
    assert direction([ERROR, ERROR_2], "eval_average") is False
    assert direction([ERROR, ERROR_2, SILENT], "eval_worst") is False


def test_the_average_of_two_directions_cannot_be_chosen_by():
    with pytest.raises(ValueError, match=r"one direction, found 'eval_average'.*'e': 'rmse'.*Choose one of"):
        direction([A, ERROR], "eval_average")


def test_what_is_not_reported_cannot_be_chosen_by():
    with pytest.raises(ValueError, match=r"one of \[.*'a_f1_macro'.*found 'eval_a_ece'"):
        direction([A, B], "eval_a_ece")
