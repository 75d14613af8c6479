"""A loss that is no number ends the run, with the task, the rows and the step named."""

import pytest
import torch

from hf_multitask import Task
from hf_multitask.modeling.losses import task_losses
from hf_multitask.training.finite import FiniteLosses

TOPIC = Task(name="topic", labels=("a", "b"))
SCORE = Task(name="score", problem_type="regression")
IDS = ["news/train/4", "news/train/9", "web/train/2"]


def check(logits, labels, row_ids=IDS):
    tasks = [TOPIC, SCORE]
    FiniteLosses(tasks).add(task_losses(tasks, logits, labels), logits, labels, row_ids, step=17)


def batch():
    labels = {"topic": torch.tensor([0, -100, 1]), "score": torch.tensor([[1.0], [2.0], [float("nan")]])}
    return {"topic": torch.zeros(3, 2), "score": torch.zeros(3, 1)}, labels


def test_finite_losses_pass():
    check(*batch())


def test_the_rows_whose_own_loss_is_infinite_are_named():
    logits, labels = batch()
    logits["topic"][2] = float("inf")
    with pytest.raises(FloatingPointError) as error:
        check(logits, labels)
    assert str(error.value) == (
        "Step 17: the loss of every task must be a finite number, found nan for task 'topic' in the rows web/train/2. "
        "Look at these rows, or lower the learning rates; the last checkpoint holds the weights before."
    )


def test_all_rows_with_targets_are_named_where_only_their_sum_is_infinite():
    logits, labels = batch()
    logits["score"][:2] = 1.5e19
    with pytest.raises(FloatingPointError, match=r"inf for task 'score' in the rows news/train/4, news/train/9\. "):
        check(logits, labels)


def test_rows_without_ids_are_counted_in_the_batch():
    logits, labels = batch()
    logits["topic"][2] = float("nan")
    with pytest.raises(FloatingPointError, match=r"in the rows 2\. "):
        check(logits, labels, row_ids=None)
