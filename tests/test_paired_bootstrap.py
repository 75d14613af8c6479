"""The interval of a difference: rows are drawn alike for both models, and few seeds tell little."""

import numpy as np
import pytest

from hf_multitask import Task
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.evaluation.paired_bootstrap import mean_difference, paired_interval
from hf_multitask.evaluation.registry import known_metrics
from hf_multitask.publishing.transfer_record import GAINED, LOST, OPEN
from hf_multitask.transfer.comparison import difference, verdict

TASK = Task(name="t", labels=("a", "b"))
ACCURACY = known_metrics(TASK)["accuracy"]
LABELS = np.arange(200) % 2


def answers(right, labels=LABELS):
    """Answers to rows of which those in `right` are right."""
    decided = np.where(right, labels, 1 - labels)
    return read_answers(TASK, np.eye(2, dtype=np.float32)[decided], labels)


def chance(seed, share):
    return np.random.default_rng(seed).random(200) < share


def test_the_interval_of_identical_answers_is_zero():
    same = answers(chance(0, 0.7))
    assert paired_interval(ACCURACY, [(same, same)] * 3) == (0.0, 0.0)


def test_a_difference_is_the_mean_over_the_seeds():
    pairs = [(answers(np.arange(200) < n), answers(np.arange(200) < 100)) for n in (110, 130)]
    assert mean_difference(ACCURACY, pairs) == pytest.approx(0.1, abs=1e-15)


def test_rows_are_drawn_alike_for_both_models():
    """Where one model is right wherever the other is, and on 20 more rows, no resample has it behind."""
    base = np.arange(200) < 100
    better = base | (np.arange(200) >= 180)
    low, high = paired_interval(ACCURACY, [(answers(better), answers(base))])
    assert 0.05 < low < 0.1 < high < 0.15  # of unpaired resamples, low would be about 0


def test_seeds_that_differ_widen_the_interval():
    base = np.arange(200) < 100
    steady = [(answers(np.arange(200) < 110), answers(base))] * 3
    moody = [(answers(np.arange(200) < n), answers(base)) for n in (70, 110, 150)]
    widths = [np.ptp(paired_interval(ACCURACY, pairs)) for pairs in (steady, moody)]
    assert widths[1] > 2 * widths[0]


def test_three_seeds_that_agree_in_their_sign_alone_are_no_gain():
    base = np.arange(200) < 100
    pairs = [(answers(np.arange(200) < n), answers(base)) for n in (110, 120, 130)]
    low, high = paired_interval(ACCURACY, pairs)
    assert low < 0 < high
    # Rows that only the better model has right: all that is open is what 4.3027 standard errors of three seeds are.
    assert high - low > 2 * 4.3027 * 0.05 / np.sqrt(3)


def test_an_interval_covers_no_difference_about_as_often_as_it_says():
    """Two equally good models: 95 % intervals leave out 0 in about 5 of 100 test splits."""
    missed = 0
    for split in range(100):
        low, high = paired_interval(
            ACCURACY, [(answers(chance(2 * split, 0.7)), answers(chance(2 * split + 1, 0.7)))], samples=200
        )
        missed += not low <= 0 <= high
    assert missed <= 12


def test_models_on_other_rows_are_refused():
    with pytest.raises(ValueError, match="Task 't': two models must be compared on the same rows"):
        paired_interval(ACCURACY, [(answers(chance(0, 0.5)), answers(chance(0, 0.5), 1 - LABELS))])
    with pytest.raises(ValueError, match="needs the answers of two models, found none"):
        paired_interval(ACCURACY, [])


@pytest.mark.parametrize(
    ("interval", "higher_is_better", "expected"),
    [
        ((0.01, 0.02), True, GAINED),
        ((-0.02, -0.01), True, LOST),
        ((0.01, 0.02), False, LOST),
        ((-0.02, -0.01), False, GAINED),
        ((-0.01, 0.02), True, OPEN),
        ((0.0, 0.02), True, OPEN),
        ((0.0, 0.0), False, OPEN),
        (None, True, OPEN),
    ],
)
def test_a_verdict_is_given_only_where_the_whole_interval_is_on_one_side_of_zero(interval, higher_is_better, expected):
    assert verdict(interval, higher_is_better) == expected


def test_a_gain_is_a_share_of_the_single_task_score_and_better_above_zero():
    task = Task(name="n", problem_type="regression", labels=("x",))
    metric = known_metrics(task)["rmse"]
    labels = np.zeros((4, 1))
    near, far = (read_answers(task, np.full((4, 1), value, dtype=np.float32), labels) for value in (1.0, 2.0))
    found = difference(metric, [near], [far])
    assert (found.mean, found.gain, found.by_seed, found.verdict) == (-1.0, 0.5, [-1.0], GAINED)


def test_outputs_that_are_no_numbers_are_not_told_apart():
    broken = read_answers(TASK, np.full((200, 2), np.nan, dtype=np.float32), LABELS)
    found = difference(ACCURACY, [broken], [answers(chance(0, 0.5))])
    assert (found.interval, found.verdict) == (None, OPEN)
    assert np.isnan(found.mean)
