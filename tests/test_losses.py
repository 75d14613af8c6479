"""Losses: per-task means over labelled rows, whatever the batch is cut into."""

import pytest
import torch
from torch.nn import functional as F

from hf_multitask import Task
from hf_multitask.modeling.losses import count_items, task_losses, total_loss

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
    counts = dict(zip(("a", "b"), count_items(TASKS, labels, {}), strict=True))
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


NAN = float("nan")


def only(task, logits, labels):
    return task_losses([task], {task.name: logits}, {task.name: labels}).get(task.name)


def test_class_weights_and_smoothing_multiply_each_term_and_leave_the_count_alone():
    task = Task(name="t", labels=("x", "y", "z"), class_weights={"y": 3.0}, label_smoothing=0.1)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, -100, 1])
    log_p = logits.log_softmax(-1)
    weights = torch.tensor([1.0, 3.0, 1.0])
    terms = [
        -sum(weights[c] * log_p[row, c] * (0.1 / 3 + (0.9 if c == labels[row] else 0.0)) for c in range(3))
        for row in (0, 1, 3)
    ]
    torch.testing.assert_close(only(task, logits, labels), sum(terms) / 3)


def test_any_number_of_labels_is_the_mean_binary_cross_entropy_over_the_known_ones():
    task = Task(name="t", problem_type="multi_label_classification", labels=("x", "y"), class_weights=[1.0, 4.0])
    logits, labels = torch.randn(3, 2), torch.tensor([[1.0, 0.0], [NAN, 1.0], [NAN, NAN]])
    p = logits.sigmoid()
    expected = -(p[0, 0].log() + (1 - p[0, 1]).log() + 4 * p[1, 1].log()) / 3
    torch.testing.assert_close(only(task, logits, labels), expected)


def test_the_loss_of_an_ordinal_task_is_the_negative_log_likelihood_of_its_class():
    task = Task(name="t", problem_type="ordinal", labels=("x", "y", "z"))
    p = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [1 / 3] * 3])
    expected = -(p[0, 2].log() + p[1, 0].log()) / 2
    torch.testing.assert_close(only(task, p.log(), torch.tensor([2, 0, -100])), expected)


def test_a_regression_is_the_squared_error_of_standardised_values():
    task = Task(name="t", problem_type="regression", labels=("x", "y"), target_mean=[3.0, 0.0], target_std=[2.0, 10.0])
    logits, labels = torch.tensor([[5.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 11.0], [NAN, 20.0]])
    torch.testing.assert_close(only(task, logits, labels), torch.tensor((2.0**2 + 1.0**2 + 2.0**2) / 3))


def test_one_number_a_row_may_come_without_a_second_dimension():
    task = Task(name="t", problem_type="regression")
    torch.testing.assert_close(only(task, torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, NAN])), torch.tensor(4.0))


def test_a_similarity_is_the_squared_error_of_the_cosine_and_the_score_on_its_range():
    task = Task(name="t", problem_type="similarity", score_range=[1, 5])
    logits, labels = torch.tensor([[0.25], [NAN], [1.0]]), torch.tensor([[3.0], [NAN], [5.0]])
    torch.testing.assert_close(only(task, logits, labels), torch.tensor(0.25**2 / 2))


def test_tokens_count_one_by_one():
    task = Task(name="t", problem_type="token_classification", labels=("x", "y"))
    logits, labels = torch.randn(2, 3, 2), torch.tensor([[-100, 1, 0], [-100, 1, -100]])
    expected = F.cross_entropy(logits.reshape(-1, 2), labels.reshape(-1))
    torch.testing.assert_close(only(task, logits, labels), expected)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_missing_targets_get_no_gradient(kind):
    task = Task(name="t", problem_type=kind, labels=("x", "y"))
    logits = torch.randn(3, 2, requires_grad=True)
    only(task, logits, torch.tensor([[1.0, NAN], [NAN, NAN], [NAN, 0.0]])).backward()
    assert logits.grad.ne(0).tolist() == [[True, False], [False, False], [False, True]]


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_whole_numbers_miss_a_target_where_they_are_minus_100(kind):
    task = Task(name="t", problem_type=kind, labels=("x", "y"))
    logits = torch.randn(2, 2)
    expected = only(task, logits, torch.tensor([[1.0, NAN], [0.0, 1.0]]))
    assert torch.equal(only(task, logits, torch.tensor([[1, -100], [0, 1]])), expected)
