"""Metrics: the right numbers over the labelled rows, from no network."""

import numpy as np
import pytest
from transformers import EvalPrediction

from hf_multitask import MultiTaskMetrics, Task
from hf_multitask.evaluation.metrics import evaluation_losses

TASKS = [Task(name="topic", labels=("a", "b", "c")), Task(name="mood", labels=("n", "p"))]


def one_hot(classes, count):
    return np.eye(count, dtype=np.float32)[classes]


def score(topic, predicted, mood=(0, 1), mood_predicted=(0, 1)):
    label_ids = {"topic": np.array(topic), "mood": np.array(mood)}
    logits = {"topic": one_hot(predicted, 3), "mood": one_hot(list(mood_predicted), 2)}
    return MultiTaskMetrics(TASKS)(EvalPrediction(predictions=logits, label_ids=label_ids))


def test_the_scores_of_a_hand_computed_example():
    found = score([0, 0, 1, 1], [0, 1, 1, 1])
    assert found["topic_accuracy"] == pytest.approx(3 / 4)
    assert found["topic_f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)  # class c occurs nowhere
    assert found["topic_matthews_correlation"] == pytest.approx(1 / 3**0.5)


def test_a_class_that_is_never_predicted_counts_as_zero():
    assert score([0, 0, 2, 2], [0, 0, 0, 0])["topic_f1_macro"] == pytest.approx((2 / 3 + 0) / 2)


def test_rows_without_a_label_do_not_count():
    assert score([0, -100, 1, -100], [0, 1, 1, 2])["topic_accuracy"] == 1


def test_a_task_without_labelled_rows_has_no_scores():
    found = score([0, 1], [0, 1], mood=[-100, -100])
    assert not [key for key in found if key.startswith("mood")]
    assert "topic_accuracy" in found


def test_a_split_of_one_class_is_scored_without_a_warning():
    found = score([1, 1], [1, 1])
    assert found["topic_accuracy"] == found["topic_f1_macro"] == 1
    assert found["topic_matthews_correlation"] == 0


def test_an_evaluation_loss_is_the_mean_over_the_labelled_rows():
    logits = {"topic": np.log(np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]], dtype=np.float32))}
    losses = evaluation_losses(TASKS[:1], logits, {"topic": np.array([0, 2, -100])})
    assert losses["topic_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.6)) / 2, rel=1e-6)


def test_an_evaluation_loss_of_tokens_and_of_numbers_is_the_mean_over_the_targets():
    tasks = [
        Task(name="tags", problem_type="token_classification", labels=("x", "y")),
        Task(name="score", problem_type="regression"),
    ]
    tags = np.log(np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.9, 0.1], [0.5, 0.5]]], dtype=np.float32))
    tags[1, 1] = -100  # what the Trainer pads with
    predictions = {"tags": tags, "score": np.array([[1.0], [5.0]], dtype=np.float32)}
    label_ids = {"tags": np.array([[0, 1], [0, -100]]), "score": np.array([[3.0], [np.nan]], dtype=np.float32)}
    losses = evaluation_losses(tasks, predictions, label_ids)
    assert losses["tags_loss"] == pytest.approx(-np.log([0.5, 0.8, 0.9]).mean(), rel=1e-6)
    assert losses["score_loss"] == 4
    assert losses["loss"] == pytest.approx(losses["tags_loss"] + 4)
