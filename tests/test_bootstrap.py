"""Bootstrap intervals: of each metric, repeatable, and as wide as they say."""

import numpy as np
import pytest

from hf_multitask import Task
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.evaluation.bootstrap import confidence_intervals
from hf_multitask.evaluation.registry import known_metrics, metrics_of

ABC = ("a", "b", "c")
BIO = ("O", "B-PER", "I-PER")
KINDS = {
    "single_label_classification": ABC,
    "ordinal": ABC,
    "multi_label_classification": ABC,
    "token_classification": BIO,
    "regression": ABC,
    "similarity": (),
}


def example(kind, rows=30):
    """A task that asks for all metrics of its kind, with logits and labels of which a tenth is missing."""
    plain = Task(name="t", problem_type=kind, labels=KINDS[kind])
    task = Task(name="t", problem_type=kind, labels=KINDS[kind], metrics=tuple(known_metrics(plain)))
    generator = np.random.default_rng(0)
    shape = (rows, 4) if task.reads_tokens else (rows,)
    logits = generator.normal(size=(*shape, task.num_labels)).astype(np.float32)
    if task.is_choice:
        labels = generator.integers(0, 3, shape)
        labels[generator.random(shape) < 0.1] = -100
    else:
        labels = np.round(logits + generator.normal(size=logits.shape) > 0).astype(np.float64)
        labels[generator.random(labels.shape) < 0.1] = np.nan
    return task, logits, labels


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_of_every_kind_has_an_interval_around_its_score(kind):
    task, logits, labels = example(kind)
    answers = read_answers(task, logits, labels)
    found = confidence_intervals([task], {"t": logits}, {"t": labels}, samples=200)
    for metric in metrics_of(task):
        low, high = found[f"t_{metric.name}"]
        assert low <= high
        if metric.name != "ece":  # that of a resample is larger on average
            assert low <= metric.score(answers) <= high, metric.name
    assert len(found) == len(metrics_of(task))


@pytest.mark.parametrize("kind", KINDS)
def test_an_interval_is_that_of_scores_of_rows_drawn_with_replacement(kind):
    task, logits, labels = example(kind)
    known = (labels != -100) if task.is_choice else ~np.isnan(labels)
    rows = np.flatnonzero(known.reshape(len(labels), -1).any(axis=-1))
    generator = np.random.default_rng(0)
    drawn = {}
    for chosen in generator.integers(0, len(rows), (25, len(rows))):  # as `confidence_intervals` draws them
        answers = read_answers(task, logits[rows[chosen]], labels[rows[chosen]])
        for metric in metrics_of(task):
            drawn.setdefault(metric.name, []).append(metric.score(answers))
    found = confidence_intervals([task], {"t": logits}, {"t": labels}, samples=25, level=0.8)
    for name, scores in drawn.items():
        assert found[f"t_{name}"] == pytest.approx(tuple(np.quantile(scores, [0.1, 0.9]))), name


def test_intervals_are_a_function_of_the_seed_alone():
    task, logits, labels = example("regression")
    first, again, other = (
        confidence_intervals([task], {"t": logits}, {"t": labels}, samples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_intervals_do_not_depend_on_how_many_resamples_are_held_at_a_time(monkeypatch):
    task, logits, labels = example("regression")
    whole = confidence_intervals([task], {"t": logits}, {"t": labels}, samples=50)
    monkeypatch.setattr("hf_multitask.evaluation.bootstrap.CHUNK", 100)
    parts = confidence_intervals([task], {"t": logits}, {"t": labels}, samples=50)
    assert {name: pytest.approx(interval) for name, interval in whole.items()} == parts


def test_a_task_without_targets_or_with_nan_has_no_intervals():
    task, logits, labels = example("single_label_classification")
    assert confidence_intervals([task], {"t": logits}, {"t": np.full_like(labels, -100)}) == {}
    assert confidence_intervals([task], {"t": logits * np.nan}, {"t": labels}) == {}
    assert confidence_intervals([task], {"t": logits}, {}) == {}


def test_a_single_row_has_an_interval_of_no_width():
    task = Task(name="t", labels=ABC)
    found = confidence_intervals([task], {"t": np.eye(3, dtype=np.float32)[:1]}, {"t": np.array([0])}, samples=10)
    assert found["t_accuracy"] == (1, 1)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"level": 1.0}])
def test_an_interval_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="samples >= 1 and a level in"):
        confidence_intervals([], {}, {}, **wrong)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(0)
    tasks = [Task(name="t", labels=("a", "b"), metrics=["accuracy"]), Task(name="n", problem_type="regression")]
    true_accuracy, true_correlation, repetitions = 0.7, 0.6, 300
    held = {"t_accuracy": 0, "n_pearson": 0}
    for _ in range(repetitions):
        right = generator.random(150) < true_accuracy
        x = generator.normal(size=150)
        y = true_correlation * x + (1 - true_correlation**2) ** 0.5 * generator.normal(size=150)
        found = confidence_intervals(
            tasks,
            {"t": np.eye(2, dtype=np.float32)[1 - right], "n": x[:, None]},
            {"t": np.zeros(150, dtype=np.int64), "n": y[:, None]},
            samples=200,
        )
        for key, truth in (("t_accuracy", true_accuracy), ("n_pearson", true_correlation)):
            held[key] += found[key][0] <= truth <= found[key][1]
    # 0.95 expected, a little less at 150 rows; three standard errors of 300 repetitions are 0.038.
    assert all(0.9 <= count / repetitions <= 0.985 for count in held.values()), held
