"""The kind of a task and its labels are read off its targets; what could mean several things is refused."""

import re

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_multitask import Task
from hf_multitask.data.inference import (
    Column,
    check_columns_of_labels,
    infer_labels,
    infer_problem_type,
    source_of,
)
from hf_multitask.data.targets import Source, choice_target

WHERE = "dataset 'news', split 'train'"


def column(values: list, texts: list | None = None, features: Features | None = None) -> Column:
    text = {} if texts is None else {"text": texts}
    rows = Dataset.from_dict({"topic": values, **text}, features)
    return Column(rows, source_of(rows.features, "topic"), "topic" if texts is None else "text", WHERE)


def columns(**values: list) -> Column:
    rows = Dataset.from_dict({"text": ["a"] * len(next(iter(values.values()))), **values})
    return Column(rows, source_of(rows.features, list(values)), "text", WHERE)


def kind(*found: Column) -> str:
    return infer_problem_type("topic", found)


def inferred(*values: list, features: Features | None = None, problem_type="single_label_classification") -> list[str]:
    return infer_labels("topic", problem_type, [column(part, features=features) for part in values])


SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", None], SINGLE),
        ([1, 2, None], SINGLE),
        (["1", "2", ""], SINGLE),
        ([True, False], SINGLE),
        (["v1.5", "nan"], SINGLE),
        ([None, None], SINGLE),
        ([1.5, 2.0, None], REGRESSION),
        (["1.5", "2", " ", "1e-05"], REGRESSION),
        ([["a"], [], ["a", "b"]], MULTI),
        (['["a"]', "[]", "", '["a", "b"]'], MULTI),
        ([[0.5, 1.0], [2.0, 3.0]], REGRESSION),
        (["[0.5, 1]", "[2, 3]"], REGRESSION),
    ],
)
def test_the_kind_is_read_off_one_column(values, expected):
    assert kind(column(values, ["a text"] * len(values))) == expected


@pytest.mark.parametrize("words", [[["a"], ["b", "c"]], ['["a"]', '["b", "c"]'], ['["a"]', ""]])
def test_lists_beside_lists_of_words_are_labels_of_words(words):
    assert kind(column([["X"], ["O", "X"]], words)) == "token_classification"
    assert kind(column(['["X"]', '["O", "X"]'], words)) == "token_classification"


@pytest.mark.parametrize("other", ["Hello there", '["Hi"', "['Hi']"])
def test_a_text_that_is_no_list_of_words_beside_such_is_refused_with_its_row(other):
    texts, tags = ['["Kim", "left"]', None, other], ['["B-P", "O"]', None, '["O"]']
    found = (
        rf"'\[\"Kim\", \"left\"\]' in row 1 and .*{re.escape(other[-4:])}.* in row 3, in the column 'text' of {WHERE}"
    )
    with pytest.raises(ValueError, match=f"all texts must be lists of words, or none, found {found}"):
        kind(column(tags, texts))


@pytest.mark.parametrize("text", ["[1]", "[]"])
def test_a_text_that_is_json_and_no_list_of_words_stays_a_text(text):
    assert kind(column([["a"], ["b"]], ["Hello there", text])) == MULTI


@pytest.mark.parametrize("values", [[["B-P", "O"], ["O"]], ['["O", "I-P"]', "[]"]])
def test_tags_of_words_beside_plain_texts_are_refused_with_what_to_do(values):
    with pytest.raises(
        ValueError, match=r"found \['.*-P', 'O'\] beside texts, first in row 1 of .* lists of their words"
    ):
        kind(column(values, ["Kim left", "left"]))
    assert kind(column([["B-P"], ["B-Q"]], ["Kim left", "left"])) == MULTI


def test_class_labels_are_labels():
    one = Features({"topic": ClassLabel(names=["x", "y"]), "text": Value("string")})
    several = Features({"topic": List(ClassLabel(names=["x", "y"])), "text": Value("string")})
    assert kind(column([0, 1, -1], ["a"] * 3, one)) == SINGLE
    assert kind(column([[0], [1, 0]], ["a"] * 2, several)) == MULTI


@pytest.mark.parametrize("values", [[0, 1, None], ["0", "1", ""], [True, False, None], [0.0, 1.0, None]])
def test_several_columns_of_0_and_1_are_labels(values):
    assert kind(columns(rude=values, loud=values)) == MULTI


@pytest.mark.parametrize("values", [[0.5, 1.0], ["0.5", "1"], [1, 3]])
def test_several_columns_of_numbers_are_values(values):
    assert kind(columns(x=[0, 1], y=values)) == REGRESSION


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["web", "app", "web;app", None], "'web;app' is read as one label, beside ['web', 'app']. "),
        (["money, refund", "refund, money", "app"], "'refund, money' is read as one label, beside 'money, refund'. "),
        (["a|b", "a", "c", "b"], 'write them as a JSON list, ["a", "b"]'),
        (["sport;football", "sport;tennis", "sport"], None),
        (["Hotels, Restaurants", "Hotels", "Other"], None),
    ],
)
def test_labels_that_are_several_others_in_one_cell_are_told(values, told, caplog):
    assert kind(column(values, ["a"] * len(values))) == SINGLE
    assert len(caplog.messages) == (told is not None)
    assert (told or "") in caplog.text


@pytest.mark.parametrize("as_text", [int, str])
def test_more_whole_numbers_than_half_the_rows_are_told_to_become_labels_each(as_text, caplog):
    many, few = [as_text(7 * row) for row in range(11)] + [as_text(0)] * 9, [as_text(row // 2) for row in range(20)]
    assert kind(column([*many, None], ["a"] * 21)) == SINGLE
    (said,) = caplog.messages
    assert said.startswith("Task 'topic': its 20 targets are 11 different whole numbers")
    assert kind(column(few, ["a"] * 20)) == kind(column(many[:19], ["a"] * 19)) == SINGLE
    assert kind(column([f"v{value}" for value in many], ["a"] * 20)) == SINGLE
    assert len(caplog.messages) == 1


def test_a_few_other_values_in_columns_of_0_and_1_are_told(caplog):
    assert kind(columns(rude=[0, 1, 2, None], loud=[1, 0, 1, 0])) == REGRESSION
    (said,) = caplog.messages
    assert said.startswith(
        "Task 'topic': 6 of the 7 cells in its columns are 0 or 1, and the others make it a regression"
    )
    assert f"first in row 3 of {WHERE}, column 'rude': the cell must hold 0 or 1, found 2. Correct these" in said
    assert kind(columns(rude=[0, 1, 2], loud=[0.5, 3, 0])) == REGRESSION
    assert len(caplog.messages) == 1


def test_the_kind_is_that_of_all_splits_together():
    assert kind(column(["1.0", "2.0"], ["a"] * 2), column(["1.5"], ["a"])) == REGRESSION


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1.5", "News"], r"must be of one kind, found .*row 1 of .*: '1\.5', and a name in .*row 2 .*'News'"),
        (["a", "1.5"], r"must be of one kind, found .*row 2 of .*: '1\.5', and a name in .*row 1 .*'a'"),
        (['["a"]', "a"], "must be of one kind, found .*, and a name in .*row 2 of .*: 'a'"),
        (['["a"', '["b"]'], "must be of one kind"),
        (['["a", 1.5]'], "must be of one kind, found .*, and a fraction"),
        ([1.0, 2.0], r"must have a fraction somewhere, .* found only such as in .*row 1 of .*: 1\.0"),
        (["1.0", "2"], "must have a fraction somewhere"),
        ([[1, 0], [0, 1]], r"lists must hold names or numbers with fractions .*, found .*: \[1, 0\]"),
        ([[], []], "lists must hold names or numbers .*, found only empty ones"),
    ],
)
def test_targets_that_could_be_several_things_are_refused(values, message):
    with pytest.raises(ValueError, match=f"^Task 'topic': .*{message}.*problem_type"):
        kind(column(values, ["a"] * len(values)))


@pytest.mark.parametrize(
    "cell", ["['a', 'b']", "[ 'a' ]", "['a' 'b']", "['a',\n 'b']", "[0.5 1. ]", "[1 2]", '["a" "b"]']
)
def test_lists_as_python_shows_them_are_refused_with_what_to_write(cell):
    with pytest.raises(ValueError, match=r"lists must be written as JSON, .* found one .*row 2 of .*json\.dumps"):
        kind(column(["a", cell], ["a text"] * 2))
    with pytest.raises(ValueError, match=r"found one as Python shows it in the column 'text' of dataset 'news'"):
        kind(column(['["X"]', '["O"]'], [cell, cell]))


@pytest.mark.parametrize("cell", ["[a]", "[1]x", "[it's]", "[OTHER] 'a'", "['a'", "[E E]", "[2020-01-01]"])
def test_names_in_brackets_are_names(cell):
    assert kind(column(["a", cell], [cell] * 2)) == SINGLE


@pytest.mark.parametrize("cell", ["1,000.5", "1,234,567", "-1,234,567.25", "1.000,5", "1.234.567,89", "+12,345"])
def test_numbers_with_a_comma_between_or_behind_thousands_are_refused(cell):
    with pytest.raises(ValueError, match=rf"found a comma in .*row 1 of .*'{re.escape(cell)}'"):
        kind(column([cell, "2"], ["a text"] * 2))


@pytest.mark.parametrize("cell", ["1,23,4", "1,000.", "1.00,5", "12,3456,789", ",5", "1.234.567"])
def test_other_signs_between_digits_make_a_name(cell):
    assert kind(column([cell, "b"], ["a text"] * 2)) == SINGLE


@pytest.mark.parametrize("values", [["3,5", "4,1"], ["3,5", "2", "-1,25"], ["3,5", "2.5"], ['["3,5"]', '["4,1"]']])
def test_numbers_with_a_comma_are_refused_with_what_to_write(values):
    with pytest.raises(
        ValueError, match=r"must be written with a point, such as 3\.5, found a comma in .*row 1 of .*3,5"
    ):
        kind(column(values, ["a text"] * len(values)))


def test_numbers_with_a_comma_beside_names_are_names():
    assert kind(column(["3,5", "a", "1"], ["a text"] * 3)) == SINGLE
    assert inferred(["3,5", "4,1"]) == ["3,5", "4,1"]


def test_several_columns_of_words_are_refused():
    with pytest.raises(ValueError, match=r"row 2 of .*, column 'y': a target must be a finite number, found 'no'"):
        kind(columns(x=["1", "2"], y=["3", "no"]))


def test_one_column_and_several_are_refused():
    with pytest.raises(ValueError, match="must be in one column, or in one for each label, .* found both"):
        kind(column(["a"], ["a"]), columns(x=[1]))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b", None, " "], ["a", "b"]),
        ([10, 9, -1, None], ["-1", "9", "10"]),
        (["10", "9", "-1", ""], ["-1", "9", "10"]),
        (["10", "02", "1"], ["1", "02", "10"]),
        ([True, False], ["False", "True"]),
        (["v1.5", "nan", "inf", "1_0"], ["1_0", "inf", "nan", "v1.5"]),
    ],
)
def test_inferred_labels_are_those_of_the_rows_sorted(values, labels):
    assert inferred(values) == labels


def test_labels_are_inferred_from_all_datasets():
    assert inferred(["a"], ["b", "a"]) == ["a", "b"]


def test_labels_inferred_from_a_class_label_are_its_names():
    assert inferred([1, 0, -1], features=Features({"topic": ClassLabel(names=["x", "y"])})) == ["x", "y"]


@pytest.mark.parametrize("value", ["1.0", "-2.5", ".5", "3.", "1e-05", "2.5e3", 1.0, 2.5])
def test_a_float_is_no_label_of_a_class_task(value):
    with pytest.raises(ValueError) as error:
        inferred([None, value])
    assert str(error.value).startswith(f"Task 'topic', row 2 of {WHERE}: a label must be a ")
    assert f"found {value}" in str(error.value)
    assert "drop the row" in str(error.value)


@pytest.mark.parametrize(("values", "found"), [([None, ""], "none"), (["a", "a"], r"\['a'\]")])
def test_fewer_than_two_labels_are_refused(values, found):
    with pytest.raises(
        ValueError, match=rf"Task 'topic': there must be at least two labels, found {found} in .*'news'"
    ):
        inferred(values)


@pytest.mark.parametrize("values", [[["b"], ["a", "c"], []], ['["b"]', '["a", "c"]', "[]"]])
@pytest.mark.parametrize("problem_type", [MULTI, "token_classification"])
def test_labels_are_inferred_from_lists(values, problem_type):
    assert inferred(values, problem_type=problem_type) == ["a", "b", "c"]


def test_labels_of_several_columns_are_their_names():
    assert infer_labels("topic", MULTI, [columns(rude=[0], loud=[1]), columns(loud=[1])]) == ["rude", "loud"]


def test_the_values_of_lists_have_names_and_a_number_has_none():
    assert inferred(["[1.5, 2]"], problem_type=REGRESSION) == ["value_0", "value_1"]
    assert inferred(["1.5"], problem_type=REGRESSION) == []


def test_labels_of_an_ordinal_task_are_sorted_by_value():
    assert inferred(["10", "9", "-1"], problem_type="ordinal") == ["-1", "9", "10"]


def test_names_as_labels_of_an_ordinal_task_must_be_listed():
    with pytest.raises(ValueError, match=r"labels of an ordinal task must be whole numbers, or be listed .*'low'"):
        inferred(["low", "high"], problem_type="ordinal")


@pytest.mark.parametrize(
    "other", ["N\u0435ws", "News\u200b", "N\u200bews", "\uff2eews", "Ne\u2060ws", "\u039dews", "New\u0455"]
)
def test_labels_that_look_alike_are_refused_with_their_code_points(other):
    with pytest.raises(ValueError) as error:
        inferred(["News", other, "Opinion"])
    assert "labels must look different, found" in str(error.value)
    assert ascii(other) in str(error.value)


@pytest.mark.parametrize("other", ["01", "+1", "001"])
@pytest.mark.parametrize("problem_type", [SINGLE, "ordinal"])
def test_labels_that_are_the_same_number_are_refused(other, problem_type):
    with pytest.raises(ValueError, match=r"^Task 'topic': labels must be different numbers, found .*'1'.* list both"):
        inferred(["1", "-1", other], problem_type=problem_type)
    assert inferred(["1", "v" + other]) == ["1", "v" + other]


def test_a_label_of_thousands_of_digits_is_refused_with_its_row():
    with pytest.raises(ValueError, match=r"^Task 'topic', row 2 of .*: a label .* must have at most 4,000 digits"):
        inferred(["1", "9" * 5_000])
    assert inferred(["1", "9" * 4_000]) == ["1", "9" * 4_000]


def test_composed_and_decomposed_letters_are_refused():
    with pytest.raises(ValueError, match="labels must look different"):
        inferred(["caf\u00e9", "cafe\u0301"])


def test_labels_of_one_script_are_not_taken_for_each_other():
    labels = ["News", "news", "\u041d\u043e\u0432\u043e\u0441\u0442\u0438", "\u039d\u03ad\u03b1", "A-1", "A 1"]
    assert inferred(labels) == sorted(labels)


def test_labels_that_differ_by_capitals_alone_are_told_with_their_rows(caplog):
    assert inferred(["Positive", "positive", "Negative"], ["NEGATIVE"]) == [
        *("NEGATIVE", "Negative", "Positive", "positive")
    ]
    (message,) = caplog.messages
    assert message.startswith("Task 'topic': the labels 'NEGATIVE' (row 1 of ")
    assert f"and 'Negative' (row 3 of {WHERE}) differ by capitals alone, and 1 more do. Write them alike" in message


def test_labels_that_differ_by_more_than_capitals_are_not_told(caplog):
    inferred(["Positive", "Negative", "positive!"])
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        (["true", "false"], ["false", "true"]),
        (["TRUE", "FALSE"], ["FALSE", "TRUE"]),
        (["True", "False"], ["False", "True"]),
        (["yes", "no"], ["False", "True", "no", "yes"]),
    ],
)
def test_true_and_false_of_json_are_spelled_as_they_are_written_elsewhere(written, labels, caplog):
    assert inferred([True, False, None], written) == inferred(written, [True, False]) == labels
    task = Task(name="topic", labels=tuple(labels))
    found = [choice_target([value], task, Source(("topic",)), "row 1") for value in (False, True)]
    assert [task.labels[index].lower() for index in found] == ["false", "true"]
    assert caplog.messages == []


def test_columns_that_are_not_the_labels_are_refused():
    task = Task(name="topic", problem_type=MULTI, labels=("rude", "loud"))
    check_columns_of_labels(task, [columns(loud=[1]), columns(x=[1], y=[0])])
    for names in (["x"], ["loud", "is_rude"]):  # the second, by their order, would be swapped
        with pytest.raises(ValueError, match=r"columns of .* must all be labels of the task, .* found \['(x|loud)'"):
            check_columns_of_labels(task, [columns(**{name: [1] for name in names})])


@pytest.mark.parametrize("values", [[[True, False], [False, True]], [[1, 0, 1], [0, 1, 0]], ["[0, 1]", "[1, 0]"]])
def test_lists_of_a_0_or_1_for_each_label_tell_no_names(values):
    with pytest.raises(ValueError, match="list the labels under tasks, by names other than 0 and 1"):
        inferred(values, problem_type=MULTI)


def test_labels_that_mean_that_there_is_none_are_told(caplog):
    assert inferred(["good", "N/A", "nan", "none"]) == ["N/A", "good", "nan", "none"]
    assert f"the labels ['N/A', 'nan'] (row 2 of {WHERE}) are mostly written where there is none" in caplog.text
    caplog.clear()
    inferred(["good", "none"])
    assert caplog.messages == []
