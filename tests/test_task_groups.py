"""Groups of tasks: the best partition by the gains of pairs."""

import numpy as np
import pytest

from hf_multitask.transfer import group_tasks


def gains_of(matrix):
    names = "abcdefghijkl"[: len(matrix)]
    return {a: {b: matrix[i][j] for j, b in enumerate(names) if i != j} for i, a in enumerate(names)}


def blocks(size, count):
    """Tasks of one block gain 1 beside each other and lose 1 beside others."""
    block = np.repeat(np.arange(count), size)
    return np.where(block[:, None] == block[None, :], 1.0, -1.0)


@pytest.mark.parametrize("count", [2, 4], ids=["exact", "linked"])
def test_tasks_that_help_each_other_are_grouped(count):
    found = group_tasks(gains_of(blocks(3, count)))
    names = "abcdefghijkl"
    assert found.groups == tuple(tuple(names[3 * i : 3 * i + 3]) for i in range(count))
    assert found.gain == pytest.approx(1.0)
    assert found.is_exact == (count == 2)


@pytest.mark.parametrize("count", [3, 9])
def test_tasks_that_harm_each_other_stay_alone(count):
    found = group_tasks(gains_of(np.full((count, count), -0.5)))
    assert found.groups == tuple((name,) for name in "abcdefghi"[:count])
    assert found.gain == 0.0


def test_a_gain_of_one_may_outweigh_a_loss_of_the_other():
    assert group_tasks(gains_of([[0, 3], [-1, 0]])).groups == (("a", "b"),)
    assert group_tasks(gains_of([[0, 3], [-4, 0]])).groups == (("a",), ("b",))


def test_the_gain_in_a_group_is_the_mean_over_the_partners():
    found = group_tasks(gains_of([[0, 6, 3], [6, 0, 6], [3, 6, 0]]))
    # {a, b}, {c}: (6 + 6) / 3; all three: (4.5 + 6 + 4.5) / 3
    assert (found.groups, found.gain) == ((("a", "b", "c"),), 5.0)


def test_of_equally_good_partitions_the_fewest_models_are_taken():
    assert group_tasks(gains_of(np.zeros((3, 3)))).groups == (("a", "b", "c"),)


def test_the_exact_search_is_never_behind_any_partition():
    matrix = np.random.default_rng(0).normal(size=(5, 5))
    found = group_tasks(gains_of(matrix))
    for labels in np.ndindex(*(5,) * 5):
        total = 0.0
        for label in set(labels):
            group = [i for i, own in enumerate(labels) if own == label]
            total += sum(matrix[i][j] for i in group for j in group if i != j) / max(len(group) - 1, 1)
        assert found.gain >= total / 5 - 1e-9


def test_a_gain_that_is_missing_or_no_number_is_refused():
    with pytest.raises(ValueError, match=r"found none of 'b' beside \['a'\]. Train"):
        group_tasks({"a": {"b": 1.0}, "b": {}})
    with pytest.raises(ValueError, match="must be finite numbers, found nan of 'a' beside 'b'"):
        group_tasks({"a": {"b": float("nan")}, "b": {"a": 1.0}})
    with pytest.raises(ValueError, match="must be tasks to group"):
        group_tasks({})
