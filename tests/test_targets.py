"""A cell becomes the target it says, for every kind of task, or is refused with its place."""

import math

import pytest

from hf_multitask import Task
from hf_multitask.data.targets import TARGETS, Source

PLACE = "Task 't', row 3 of dataset 'd', split 'train'"
ONE = Source(("column",))


def task(problem_type: str, *labels: str, **values) -> Task:
    return Task(name="t", problem_type=problem_type, labels=labels, **values)


def target(kind: Task, *cells, source: Source = ONE, **extra):
    return TARGETS[kind.problem_type](cells, kind, source, PLACE, **extra)


CHOICE = task("single_label_classification", "News", "Opinion")
SEVERAL = task("multi_label_classification", "rude", "loud", "late")
NUMBER = task("regression")
VECTOR = task("regression", "x", "y")
SCORE = task("similarity")
STARS = task("similarity", score_range=(1, 5))
WORDS = task("token_classification", "O", "PER")
RUDE_LOUD = Source(("rude", "loud"), is_list=True)


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        (CHOICE, " Opinion ", 1),
        (CHOICE, "", None),
        (CHOICE, None, None),
        (task("ordinal", "1", "2", "3"), 3, 2),
        (SEVERAL, ["late", "rude"], [1.0, 0.0, 1.0]),
        (SEVERAL, '["loud"]', [0.0, 1.0, 0.0]),
        (SEVERAL, ["loud", "loud"], [0.0, 1.0, 0.0]),
        (SEVERAL, [], [0.0, 0.0, 0.0]),
        (SEVERAL, "[]", [0.0, 0.0, 0.0]),
        (SEVERAL, None, None),
        (SEVERAL, "", None),
        (SEVERAL, [1, 0, 1], [1.0, 0.0, 1.0]),
        (SEVERAL, "[0.0, 1.0, 0.0]", [0.0, 1.0, 0.0]),
        (task("multi_label_classification", "0", "1"), [1], [0.0, 1.0]),
        (task("multi_label_classification", "0", "1"), [0, 1], [1.0, 1.0]),
        (task("multi_label_classification", "1", "2", "3"), ["1", "1"], [1.0, 0.0, 0.0]),
        (task("ordinal", "1", "2", "3"), "2.0", 1),
        (task("ordinal", "2.0", "2"), "2.0", 0),
        (NUMBER, 2, [2.0]),
        (NUMBER, " -1.5e3 ", [-1500.0]),
        (NUMBER, "", None),
        (VECTOR, [1, 2.5], [1.0, 2.5]),
        (VECTOR, "[1, 2.5]", [1.0, 2.5]),
        (VECTOR, None, None),
        (SCORE, 0.25, [0.25]),
        (SCORE, True, [1.0]),
        (SCORE, "0", [0.0]),
        (SCORE, 4.5, [4.5]),
        (STARS, "5", [5.0]),
        (STARS, "", None),
    ],
)
def test_a_cell_is_read_as_its_kind(kind, cell, expected):
    assert target(kind, cell) == expected


@pytest.mark.parametrize("cell", [[1, 0, 1, 0], "[0, 0, 1, 1]", ["1", "1", "1", "1"], [True, False, True]])
def test_a_0_or_1_for_each_label_is_not_read_as_names_of_labels(cell):
    with pytest.raises(
        ValueError, match=r"a list must name each label that applies once, found .* by names other than"
    ):
        target(task("multi_label_classification", "0", "1", "True", "False"), cell)


def test_lists_of_class_labels_are_found_by_their_names():
    source = Source(("column",), names=("late", "rude"))
    assert target(SEVERAL, [0, 1], source=source) == [1.0, 0.0, 1.0]


def test_columns_named_as_labels_are_found_by_their_names():
    found = target(SEVERAL, "0", True, source=Source(("loud", "rude"), is_list=True))
    assert found[:2] == [1.0, 0.0]
    assert math.isnan(found[2])


def test_other_columns_are_the_labels_in_their_order():
    source = Source(("a", "b", "c"), is_list=True)
    assert target(SEVERAL, 0, 1, 0, source=source) == [0.0, 1.0, 0.0]


def test_an_empty_cell_among_several_columns_is_unknown_and_only_empty_ones_are_no_target():
    found = target(VECTOR, None, "2.5", source=Source(("x", "y"), is_list=True))
    assert math.isnan(found[0])
    assert found[1] == 2.5
    assert target(VECTOR, None, " ", source=Source(("x", "y"), is_list=True)) is None


@pytest.mark.parametrize("cell", [["PER", None, "O"], '["PER", null, "O"]', '["PER", "", " O "]'])
def test_a_word_without_a_label_is_ignored(cell):
    assert target(WORDS, cell, num_words=3) == [1, -100, 0]


def test_words_without_labels_are_no_target():
    assert target(WORDS, None, num_words=3) is None


@pytest.mark.parametrize(
    ("kind", "cell", "message"),
    [
        (CHOICE, "Sport", r"the label must be one of \['News', 'Opinion'\], found 'Sport'\. Add it"),
        (CHOICE, "N\u0435ws", r"which is not written as the 'News' that it looks like: 'N\\u0435ws'\. Add it"),
        (CHOICE, 1.5, r"a label must be a string or a whole number, found 1\.5"),
        (SEVERAL, "rude", r"the cell must hold a list, found 'rude'"),
        (SEVERAL, '["rude"', "the cell must hold a list, found"),
        (SEVERAL, "[" * 100_000, "the cell must hold a list, found '.{199}\\.\\.\\. "),
        (SEVERAL, '["\\ud800"]', "the cell must hold a list"),
        (SEVERAL, ["rude", "old"], "the label must be one of .*, found 'old'"),
        (SEVERAL, ["rude", None], "a list must hold labels, found None"),
        (SEVERAL, [1, 0], "must have one for each of the 3 labels, found 2"),
        (SEVERAL, [1, 0, 2], "the cell must hold 0 or 1, found 2"),
        (SEVERAL, [0.0, 1.0, float("nan")], "the cell must hold 0 or 1, found nan"),
        (NUMBER, float("nan"), "a target must be a finite number, found nan"),
        (NUMBER, float("inf"), "a target must be a finite number, found inf"),
        (NUMBER, "nan", "a target must be a finite number, found 'nan'"),
        (NUMBER, "1e999", "a target must be a finite number, found '1e999'"),
        (NUMBER, 1e39, r"a target must be a finite number, found 1e\+39"),
        (NUMBER, 10**400, "a target must be a finite number, found 1000"),
        (NUMBER, "1_0", "a target must be a finite number, found '1_0'"),
        (NUMBER, "1,5", "a target must be a finite number, found '1,5'"),
        (NUMBER, True, "a target must be a finite number, found True"),
        (NUMBER, [1.0], "a target must be a finite number, found"),
        (VECTOR, [1.0], r"must have the 2 values \['x', 'y'\], found 1"),
        (VECTOR, [1.0, None], "a list must hold numbers, found none in"),
        (VECTOR, "[1.0, NaN]", "a target must be a finite number, found nan"),
        (STARS, 0.5, r"must be in the task's score_range, \[1\.0, 5\.0\], found 0\.5"),
        (SCORE, "yes", "a target must be a finite number, found 'yes'"),
    ],
)
def test_a_cell_that_is_no_target_is_refused_with_its_place(kind, cell, message):
    with pytest.raises(ValueError, match=f"(?s)^{PLACE}: .*{message}"):
        target(kind, cell)


def test_a_cell_of_a_label_that_is_neither_0_nor_1_is_refused_with_its_column():
    with pytest.raises(ValueError, match=f"^{PLACE}, column 'loud': the cell must hold 0 or 1, found 'maybe'"):
        target(SEVERAL, "1", "maybe", source=RUDE_LOUD)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["O"], "a label for each word, found 1 labels and 2 words"),
        (["O", "LOC"], "the label must be one of .*, found 'LOC'"),
        ("O O", "the cell must hold a list, found 'O O'"),
    ],
)
def test_labels_of_words_that_do_not_fit_are_refused(cell, message):
    with pytest.raises(ValueError, match=f"^{PLACE}: .*{message}"):
        target(WORDS, cell, num_words=2)
