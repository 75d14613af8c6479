"""Temperatures and thresholds: fitted on a validation split, and never to the worse."""

import numpy as np
import pytest
import torch

from hf_multitask import Task
from hf_multitask.evaluation.calibration import TEMPERATURES, calibrate, calibrate_task
from hf_multitask.evaluation.thresholds import best_thresholds
from hf_multitask.modeling.decoding import decide, probabilities

ABC = ("a", "b", "c")
CHOICE = Task(name="t", labels=ABC)
SEVERAL = Task(name="t", problem_type="multi_label_classification", labels=ABC)


def drawn_from(logits, seed=0):
    """Targets drawn with the probabilities of `logits`, so that these are calibrated."""
    p = torch.from_numpy(logits).softmax(dim=-1)
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator)[:, 0].reshape(p.shape[:-1]).numpy()


def random_logits(*shape):
    return (2 * np.random.default_rng(0).normal(size=shape)).astype(np.float32)


def test_the_temperature_that_spoiled_the_logits_is_found():
    logits = random_logits(4000, 3)
    labels = drawn_from(logits)
    for spoiled in (3.0, 0.5):
        task, record = calibrate_task(CHOICE, spoiled * logits, labels)
        assert task.temperature == pytest.approx(spoiled, rel=0.08)
        assert record.temperature == task.temperature
        assert record.nll_after < record.nll_before
        assert record.ece_after < 0.03 < record.ece_before


def test_the_temperature_is_where_the_likelihood_has_its_top():
    logits = random_logits(200, 3)
    labels = drawn_from(logits)
    task, record = calibrate_task(CHOICE, 3 * logits, labels)

    def nll(temperature):
        return torch.nn.functional.cross_entropy(torch.from_numpy(3 * logits) / temperature, torch.from_numpy(labels))

    assert record.nll_after == pytest.approx(nll(task.temperature).item(), rel=1e-5)
    assert record.nll_before == pytest.approx(nll(1.0).item(), rel=1e-5)
    assert record.nll_after <= min(nll(task.temperature * factor).item() for factor in (0.95, 1.05)) + 1e-7


@pytest.mark.parametrize("seed", range(5))
def test_the_likelihood_is_never_worse_than_before(seed):
    logits = random_logits(6, 3)
    _, record = calibrate_task(CHOICE, logits, drawn_from(logits, seed))
    assert record.nll_after <= record.nll_before


def test_where_no_temperature_is_better_it_stays_one():
    task, record = calibrate_task(CHOICE, np.zeros((4, 3), dtype=np.float32), np.array([0, 1, 2, 0]))
    assert (task.temperature, record.temperature) == (1, None)
    assert record.nll_after == record.nll_before == pytest.approx(np.log(3))


def right(labels, margin=1.5):
    """Logits whose answers are `labels`, each by about `margin`."""
    return (random_logits(*labels.shape, 3) / 20 + margin * np.eye(3)[labels]).astype(np.float32)


@pytest.mark.parametrize("kind", ["single_label_classification", "ordinal", "token_classification"])
@pytest.mark.parametrize("rows", [1, 4, 60])
def test_without_a_wrong_answer_no_temperature_is_told_and_it_is_one(kind, rows):
    labels = np.random.default_rng(1).integers(0, 3, (rows, 2) if kind == "token_classification" else rows)
    task, record = calibrate_task(Task(name="t", problem_type=kind, labels=ABC), right(labels), labels)
    assert (task.temperature, record.temperature) == (1, None)
    assert record.ece_after == record.ece_before > 0
    assert record.nll_after == record.nll_before > 0


def test_one_wrong_answer_tells_a_temperature():
    labels = np.random.default_rng(1).integers(0, 3, 60)
    logits = right(labels)
    labels[0] = (labels[0] + 1) % 3
    task, record = calibrate_task(CHOICE, logits, labels)
    assert TEMPERATURES[0] < task.temperature < 1
    assert record.temperature == task.temperature


def test_labels_that_are_all_right_have_thresholds_and_no_temperature():
    targets = np.array([[1, 0, 0], [0, 1, 0], [np.nan, 0, 0]])
    logits = np.where(targets == 1, -1.0, -3.0).astype(np.float32) + np.array([2, 2, 0], dtype=np.float32)
    task, record = calibrate_task(SEVERAL, logits, targets)
    assert (task.temperature, record.temperature) == (1, None)
    assert task.thresholds == record.thresholds == (0.5, 0.5, 0.5)


def test_answers_worse_than_chance_tell_no_temperature(caplog):
    labels = np.arange(30) % 3
    task, record = calibrate_task(CHOICE, right((labels + 1) % 3), labels)
    assert (task.temperature, record.temperature) == (1, None)
    assert "Task 't' is not calibrated" in caplog.text
    assert "found it best at 20 (30 of 30 answers are wrong). Its temperature is 1. Train it longer" in caplog.text


def test_the_log_says_which_task_is_not_calibrated_and_why(caplog):
    labels = np.arange(4) % 3
    calibrate([CHOICE], {"t": right(labels)}, {"t": labels})
    (message,) = caplog.messages
    assert message == (
        "Task 't' is not calibrated: the likelihood of its validation targets must be best at a temperature between "
        "0.05 and 20, found it best at 0.05 (0 of 4 answers are wrong). Its temperature is 1. Add validation rows, so "
        "that some answers are wrong."
    )


def test_a_calibrated_task_is_not_in_the_log(caplog):
    logits = random_logits(200, 3)
    calibrate([CHOICE], {"t": logits}, {"t": drawn_from(logits)})
    assert caplog.messages == []


def test_each_kind_with_labels_is_calibrated():
    logits = random_logits(2000, 1, 3)
    ordinal = np.log(torch.from_numpy(logits[:, 0]).softmax(dim=-1).numpy())
    for kind, outputs in (("token_classification", logits), ("ordinal", ordinal)):
        task, record = calibrate_task(
            Task(name="t", problem_type=kind, labels=ABC), 2 * outputs, drawn_from(outputs.astype(np.float32))
        )
        assert task.temperature == pytest.approx(2, rel=0.1)
        assert record.thresholds is task.thresholds is None
    p = 1 / (1 + np.exp(-logits[:, 0]))
    targets = (np.random.default_rng(1).random(p.shape) < p).astype(np.float32)
    task, record = calibrate_task(SEVERAL, 2 * logits[:, 0], targets)
    assert task.temperature == pytest.approx(2, rel=0.1)
    assert record.thresholds == task.thresholds


def test_what_has_no_target_does_not_count():
    logits = random_logits(40, 3)
    labels = drawn_from(logits)
    padded = np.concatenate([logits, np.full((5, 3), -100.0, dtype=np.float32)])
    found = calibrate_task(CHOICE, padded, np.concatenate([labels, np.full(5, -100)]))
    assert found == calibrate_task(CHOICE, logits, labels)
    targets = (logits > 0.5).astype(np.float32)
    with_rows = np.concatenate([targets, np.full((5, 3), np.nan, dtype=np.float32)])
    assert calibrate_task(SEVERAL, padded, with_rows) == calibrate_task(SEVERAL, logits, targets)


def test_an_element_without_a_target_is_in_no_likelihood():
    p = np.array([[0.9, 0.5], [0.6, 0.2]], dtype=np.float32)
    task = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"))
    _, record = calibrate_task(task, np.log(p / (1 - p)), np.array([[1, np.nan], [0, 0]]))
    assert record.nll_before == pytest.approx(-np.log([0.9, 0.4, 0.8]).mean(), rel=1e-5)


def test_an_earlier_calibration_makes_no_difference():
    logits = random_logits(40, 3)
    targets = (logits + random_logits(40, 3)[::-1] > 0.5).astype(np.float32)
    task, record = calibrate_task(SEVERAL, logits, targets)
    assert calibrate_task(task, logits, targets) == (task, record)


def test_numbers_and_unlabelled_tasks_stay_as_they_are():
    tasks = [CHOICE, Task(name="n", problem_type="regression"), Task(name="u", labels=ABC), Task(name="d", labels=ABC)]
    logits = random_logits(40, 3)
    labels = drawn_from(logits)
    predictions = {"t": 2 * logits, "n": logits[:, :1], "u": logits, "d": logits * np.nan}
    label_ids = {"t": labels, "n": logits[:, :1], "u": np.full(40, -100), "d": labels}
    found, records = calibrate(tasks, predictions, label_ids)
    assert found[1:] == tasks[1:]
    assert list(records) == ["t"]
    assert found[0].temperature == records["t"].temperature != 1


def thresholds(probabilities_of_one, targets):
    p = np.array(probabilities_of_one, dtype=np.float32)[:, None]
    return best_thresholds(p, np.array(targets, dtype=np.float64)[:, None])[0]


def test_a_threshold_lies_halfway_between_what_it_parts():
    assert thresholds([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == pytest.approx(0.25)
    assert thresholds([0.7, 0.8, 0.9], [0, 0, 1]) == pytest.approx(0.85)


def test_a_threshold_that_does_as_well_as_one_half_is_one_half():
    assert thresholds([0.1, 0.6], [0, 1]) == 0.5


def test_of_equally_good_thresholds_the_closest_to_one_half_is_taken():
    # The last alone: one of two found and nothing else, F1 2/3. All but the first: both and two too many, F1 2/3 too.
    assert thresholds([0.1, 0.2, 0.6, 0.7, 0.9], [0, 1, 0, 0, 1]) == pytest.approx(0.8)
    assert thresholds([0.3, 0.4, 0.6, 0.7, 0.99], [0, 1, 0, 0, 1]) == pytest.approx(0.35)


def test_a_label_of_all_texts_or_of_none_keeps_one_half():
    assert thresholds([0.1, 0.2], [0, 0]) == thresholds([0.1, 0.2], [1, 1]) == 0.5
    assert thresholds([0.1, 0.2], [np.nan, np.nan]) == thresholds([0.1, 0.2], [np.nan, 1]) == 0.5


def test_no_threshold_has_a_higher_f1():
    generator = np.random.default_rng(0)
    for _ in range(30):
        p = np.round(generator.random(12), 1).astype(np.float32)
        y = generator.integers(0, 2, 12)
        y[:2] = 0, 1

        def f1(threshold, p=p, y=y):
            return 2 * (y * (p >= np.float32(threshold))).sum() / (y.sum() + (p >= np.float32(threshold)).sum())

        assert f1(thresholds(p, y)) == pytest.approx(max(f1(t) for t in np.linspace(0, 1, 501)))


def test_a_threshold_parts_neighbours_in_float32():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    found = np.float32(thresholds([low, high], [0, 1]))
    assert low < found <= high


def test_thresholds_are_those_of_calibrated_probabilities():
    logits = 4 * np.array([[-1.0], [-0.5], [0.6], [1.2], [-0.2], [0.4]], dtype=np.float32) + 3
    targets = np.array([[0], [0], [1], [1], [1], [0]], dtype=np.float32)
    task, _ = calibrate_task(Task(name="t", problem_type="multi_label_classification", labels=("a",)), logits, targets)
    assert task.temperature != 1
    given = probabilities(task, logits) >= np.float32(task.thresholds[0])
    assert (given == decide(task, logits)).all()
    assert given[:, 0].tolist() == [False, False, True, True, True, True]  # F1 6/7, the highest there is
