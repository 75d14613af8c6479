"""Confusion and scores per class, by hand."""

import numpy as np
import pytest

from hf_multitask import Task
from hf_multitask.evaluation.class_report import ClassScores, confusion, per_class

TASK = Task(name="t", labels=("a", "b", "c"))
LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 0]]
LABELS = np.array([0, 0, 1, 1, -100])
NUMBERS = Task(name="n", problem_type="regression")


def test_rows_of_a_confusion_are_the_right_labels():
    assert confusion(TASK, LOGITS, LABELS).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_scores_of_each_label():
    assert per_class(TASK, LOGITS, LABELS) == {
        "a": ClassScores(precision=1.0, recall=0.5, f1=pytest.approx(2 / 3), support=2),
        "b": ClassScores(precision=pytest.approx(2 / 3), recall=1.0, f1=pytest.approx(4 / 5), support=2),
        "c": ClassScores(precision=0.0, recall=0.0, f1=0.0, support=0),
    }


def test_of_several_labels_each_is_scored_where_it_has_a_target():
    task = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"))
    logits = np.array([[1, 1], [1, -1], [-1, 1]], dtype=np.float32)
    found = per_class(task, logits, np.array([[1, np.nan], [0, 1], [1, 1]]))
    assert found["a"] == ClassScores(0.5, 0.5, 0.5, 2)
    assert found["b"] == ClassScores(1.0, 0.5, pytest.approx(2 / 3), 2)


def test_of_bio_tags_the_classes_are_the_types_of_entities():
    task = Task(name="t", problem_type="token_classification", labels=("O", "B-PER", "I-PER"))
    logits = np.eye(3, dtype=np.float32)[[[1, 2, 0, 1]]]
    labels = np.array([[1, 2, 0, 0]])
    assert per_class(task, logits, labels) == {"PER": ClassScores(0.5, 1.0, pytest.approx(2 / 3), 1)}
    assert confusion(task, logits, labels).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]  # of tokens


def test_a_split_without_targets_has_an_empty_report():
    nothing = np.full(5, -100)
    assert confusion(TASK, LOGITS, nothing).sum() == 0
    assert per_class(TASK, LOGITS, nothing) == {}


def test_numbers_have_no_classes():
    with pytest.raises(ValueError, match="one label per text or word, found 'regression'"):
        confusion(NUMBERS, LOGITS[:, :1], LOGITS[:, :1])
    with pytest.raises(ValueError, match="a task with classes, found 'regression'"):
        per_class(NUMBERS, LOGITS[:, :1], LOGITS[:, :1])
