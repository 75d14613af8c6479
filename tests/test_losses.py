"""Losses: per-task means over labelled rows, whatever the batch is cut into."""

import pytest
import torch
from torch.nn import functional as F

from hf_multitask import Task
from hf_multitask.modeling.losses import count_labels, task_losses, total_loss

TASKS = [Task(name="a", labels=("x", "y", "z")), Task(name="b", labels=("n", "p"), loss_weight=0.5)]


def data(rows=12):
    logits = {"a": torch.randn(rows, 3), "b": torch.randn(rows, 2)}
    labels = {"a": torch.randint(3, (rows,)), "b": torch.randint(2, (rows,))}
    labels["a"][::3] = -100
    labels["b"][:7] = -100
    return logits, labels


def test_each_loss_is_the_cross_entropy_of_its_labelled_rows():
    logits, labels = data()
    losses = task_losses(TASKS, logits, labels)
    for name in ("a", "b"):
        torch.testing.assert_close(losses[name], F.cross_entropy(logits[name], labels[name], ignore_index=-100))


def test_the_total_is_the_weighted_sum():
    losses = task_losses(TASKS, *data())
    torch.testing.assert_close(total_loss(TASKS, losses), losses["a"] + 0.5 * losses["b"])


def test_a_task_without_labelled_rows_has_no_loss_and_no_graph():
    logits, labels = data()
    labels["b"].fill_(-100)
    losses = task_losses(TASKS, logits, labels)
    assert list(losses) == ["a"]
    assert torch.equal(total_loss(TASKS, losses), losses["a"])


def test_a_task_of_weight_zero_is_reported_but_not_in_the_total():
    tasks = [TASKS[0], Task(name="b", labels=("n", "p"), loss_weight=0)]
    losses = task_losses(tasks, *data())
    assert set(losses) == {"a", "b"}
    assert torch.equal(total_loss(tasks, losses), losses["a"])


@pytest.mark.parametrize("cuts", [[4, 4, 4], [1, 6, 5], [11, 1]])
def test_the_losses_of_micro_batches_add_up_to_those_of_the_whole(cuts):
    logits, labels = data()
    whole = task_losses(TASKS, logits, labels)
    counts = {name: count_labels(labels[name]) for name in labels}
    total = {"a": 0.0, "b": 0.0}
    start = 0
    for size in cuts:
        part = slice(start, start + size)
        cut_logits = {name: values[part] for name, values in logits.items()}
        for name, loss in task_losses(
            TASKS, cut_logits, {name: values[part] for name, values in labels.items()}, counts
        ).items():
            total[name] += loss
        start += size
    torch.testing.assert_close(total, whole, rtol=1e-6, atol=1e-6)


def test_losses_are_float32_for_half_precision_logits():
    logits, labels = data()
    losses = task_losses(TASKS, {name: values.bfloat16() for name, values in logits.items()}, labels)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
