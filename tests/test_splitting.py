"""Rows cut from the training rows are as many as asked for, each in one split, and of all classes alike."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_multitask.data.splitting import cut, draw

SHARES = {"validation": 0.1, "test": 0.2}


@given(st.integers(20, 200), st.integers(0, 5))
def test_each_row_is_in_exactly_one_split(num_rows, seed):
    splits = cut(num_rows, SHARES, None, seed, "d")
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(num_rows))
    assert [len(splits[name]) for name in SHARES] == [round(num_rows * share) for share in SHARES.values()]
    assert all((np.diff(rows) > 0).all() for rows in splits.values())


def test_the_shares_of_the_classes_are_the_same_in_all_splits():
    strata = [0] * 700 + [1] * 200 + [2] * 100
    for name, rows in cut(1000, SHARES, strata, 0, "d").items():
        share = {"train": 0.7, **SHARES}[name]
        found = Counter(strata[row] for row in rows)
        assert [found[label] for label in range(3)] == [round(share * count) for count in (700, 200, 100)]


def test_a_class_with_one_row_stays_in_training():
    strata = [0, 1, 2] + [3] * 20 + [4] * 20
    for seed in range(5):
        assert {0, 1, 2} <= set(cut(len(strata), SHARES, strata, seed, "d")["train"].tolist())


def test_the_same_seed_cuts_the_same_rows_and_another_one_others():
    def validation(seed: int) -> list[int]:
        return cut(100, SHARES, [0, 1] * 50, seed, "d")["validation"].tolist()

    assert validation(1) == validation(1) != validation(2)


def test_too_few_rows_for_all_classes_are_drawn_with_a_warning(caplog):
    splits = cut(20, {"validation": 0.1}, [row % 5 for row in range(20)], 0, "dataset 'd'")
    assert len(splits["validation"]) == 2
    assert "dataset 'd': the 2 rows of the validation split are too few for 5 classes" in caplog.text


@pytest.mark.parametrize(("num_rows", "share"), [(4, 0.1), (1, 0.5), (2, 0.9)])
def test_a_split_without_rows_is_refused(num_rows, share):
    with pytest.raises(ValueError, match=f"d: test must be a share .* leaves rows on both sides, found {share} of"):
        cut(num_rows, {"test": share}, None, 0, "d")


def test_rows_are_drawn_without_repetition_in_their_order():
    drawn = draw(100, 30, 0)
    assert len(set(drawn.tolist())) == 30
    assert (np.diff(drawn) > 0).all()
    assert (draw(100, 30, 1) != drawn).any()


@pytest.mark.parametrize("max_rows", [None, 100, 200])
def test_all_rows_stay_where_no_fewer_are_asked_for(max_rows):
    assert draw(100, max_rows, 0) is None
