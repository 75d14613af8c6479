"""Rows cut from the training rows are as many as asked for, each in one split, and of all classes alike."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hf_multitask.data.splitting import cut, draw

ROWS = np.arange(1000)
"""So many different texts."""

SHARES = {"validation": 0.1, "test": 0.2}


@given(st.integers(20, 200), st.integers(0, 5))
def test_each_row_is_in_exactly_one_split(num_rows, seed):
    splits = cut(ROWS[:num_rows], SHARES, None, seed, "d")
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(num_rows))
    assert [len(splits[name]) for name in SHARES] == [round(num_rows * share) for share in SHARES.values()]
    assert all((np.diff(rows) > 0).all() for rows in splits.values())


def test_the_shares_of_the_classes_are_the_same_in_all_splits():
    strata = [0] * 700 + [1] * 200 + [2] * 100
    for name, rows in cut(ROWS, SHARES, strata, 0, "d").items():
        share = {"train": 0.7, **SHARES}[name]
        found = Counter(strata[row] for row in rows)
        assert [found[label] for label in range(3)] == [round(share * count) for count in (700, 200, 100)]


def test_a_class_with_one_row_stays_in_training():
    strata = [0, 1, 2] + [3] * 20 + [4] * 20
    for seed in range(5):
        assert {0, 1, 2} <= set(cut(ROWS[: len(strata)], SHARES, strata, seed, "d")["train"].tolist())


def test_the_same_seed_cuts_the_same_rows_and_another_one_others():
    def validation(seed: int) -> list[int]:
        return cut(ROWS[:100], SHARES, [0, 1] * 50, seed, "d")["validation"].tolist()

    assert validation(1) == validation(1) != validation(2)


@given(st.lists(st.sampled_from("abcdefghij"), min_size=30, max_size=90), st.integers(0, 5))
def test_all_rows_of_a_text_are_in_one_split(texts, seed):
    assume(len(set(texts)) > 4)
    splits = cut(np.array(texts), {"validation": 0.2, "test": 0.3}, None, seed, "d")
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(texts)))
    found = [{texts[row] for row in rows} for rows in splits.values()]
    assert sum(map(len, found)) == len(set(texts))


def test_rows_alone_in_their_class_are_named_where_they_leave_nothing_to_draw():
    with pytest.raises(ValueError, match=r"found 0.1 of 300, 300 of which are the only one of their class and stay"):
        cut(ROWS[:300], {"validation": 0.1}, range(300), 0, "d")


def test_too_few_rows_for_all_classes_are_drawn_with_a_warning(caplog):
    splits = cut(ROWS[:20], {"validation": 0.1}, [row % 5 for row in range(20)], 0, "dataset 'd'")
    assert len(splits["validation"]) == 2
    assert "dataset 'd': the 2 texts of the validation split are too few for 5 classes" in caplog.text


@pytest.mark.parametrize(("num_rows", "share"), [(4, 0.1), (1, 0.5), (2, 0.9)])
def test_a_split_without_rows_is_refused(num_rows, share):
    with pytest.raises(ValueError, match=f"d: test must be a share .* leaves texts on both sides, found {share} of"):
        cut(ROWS[:num_rows], {"test": share}, None, 0, "d")


def test_rows_are_drawn_without_repetition_in_their_order():
    drawn = draw(100, 30, 0)
    assert len(set(drawn.tolist())) == 30
    assert (np.diff(drawn) > 0).all()
    assert (draw(100, 30, 1) != drawn).any()


@pytest.mark.parametrize("max_rows", [None, 100, 200])
def test_all_rows_stay_where_no_fewer_are_asked_for(max_rows):
    assert draw(100, max_rows, 0) is None
