"""A row keeps its text, and the index of its own label for every task; anything else is refused with its place."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_multitask import Task
from hf_multitask.data.mapping import check_columns, infer_labels, map_rows
from hf_multitask.settings.run_settings import DatasetSettings

TOPIC = Task(name="topic", labels=("News", "Opinion"))
MOOD = Task(name="mood", labels=("bad", "good"))
BOTH = DatasetSettings(path="x", text="text", targets={"topic": "topic", "mood": "mood"})
ONLY_TOPIC = DatasetSettings(path="x", text="text", targets={"topic": "topic"})
WHERE = "dataset 'news', split 'train'"


def mapped(columns: dict, dataset: DatasetSettings = BOTH, tasks=(TOPIC, MOOD)) -> list[dict]:
    return [dict(row) for row in map_rows(Dataset.from_dict(columns), dataset, tasks, WHERE)]


def topics(values: list, task: Task, features: Features | None = None) -> list[int | None]:
    """The mapped targets of a task whose column holds `values`, and another, which every row is labelled for."""
    rows = Dataset.from_dict({"text": ["a"] * len(values), "topic": values, "mood": ["good"] * len(values)}, features)
    return [row["targets"]["topic"] for row in map_rows(rows, BOTH, [task, MOOD], WHERE)]


def inferred(*values: list, features: Features | None = None) -> list[str]:
    return infer_labels("topic", [(Dataset.from_dict({"topic": part}, features), "topic", WHERE) for part in values])


def test_a_row_becomes_its_text_and_a_target_for_every_task():
    rows = mapped({"text": ["a", "b"], "topic": ["Opinion", "News"], "mood": ["bad", "good"], "other": [1, 2]})
    assert rows == [
        {"text": "a", "targets": {"topic": 1, "mood": 0}},
        {"text": "b", "targets": {"topic": 0, "mood": 1}},
    ]


def test_a_row_may_carry_any_subset_of_targets():
    rows = mapped({"text": ["a", "b", "c"], "topic": ["News", None, " "], "mood": [None, "good", "bad"]})
    assert [row["targets"] for row in rows] == [
        {"topic": 0, "mood": None},
        {"topic": None, "mood": 1},
        {"topic": None, "mood": 0},
    ]


def test_a_task_that_the_dataset_does_not_have_is_present_without_a_target():
    assert mapped({"text": ["a"], "topic": ["News"]}, ONLY_TOPIC) == [
        {"text": "a", "targets": {"topic": 0, "mood": None}}
    ]


def test_two_text_columns_become_a_pair():
    pairs = DatasetSettings(path="x", text=["first", "second"], targets={"topic": "topic"})
    [row] = mapped({"first": ["a"], "second": ["b"], "topic": ["News"]}, pairs)
    assert (row["text"], row["text_pair"]) == ("a", "b")


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1).filter(str.strip), st.sampled_from(TOPIC.labels), st.sampled_from([None, *MOOD.labels])
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_row_keeps_its_own_text_and_labels_in_order(rows):
    texts, topic_labels, mood_labels = map(list, zip(*rows, strict=True))
    found = mapped({"text": texts, "topic": topic_labels, "mood": mood_labels})
    assert [
        (
            row["text"],
            TOPIC.labels[row["targets"]["topic"]],
            None if row["targets"]["mood"] is None else MOOD.labels[row["targets"]["mood"]],
        )
        for row in found
    ] == rows


@pytest.mark.parametrize(
    ("values", "labels", "targets"),
    [
        ([2, None, 1], ("1", "2"), [1, None, 0]),
        (["2", "", "1"], ("1", "2"), [1, None, 0]),
        ([True, None, False], ("False", "True"), [1, None, 0]),
        ([" b", "a "], ("a", "b"), [1, 0]),
        (["None", "NA"], ("NA", "None"), [1, 0]),
    ],
)
def test_a_label_is_found_by_its_name(values, labels, targets):
    assert topics(values, Task(name="topic", labels=labels)) == targets


def test_a_class_label_is_found_by_its_name_and_minus_one_is_none():
    features = Features({"text": Value("string"), "topic": ClassLabel(names=["b", "a"]), "mood": Value("string")})
    assert topics([0, 1, -1, None], Task(name="topic", labels=("a", "b")), features) == [1, 0, None, None]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b", None, " "], ["a", "b"]),
        ([10, 9, -1, None], ["-1", "9", "10"]),
        (["10", "9", "-1", ""], ["-1", "9", "10"]),
        (["1", "01", "2"], ["01", "1", "2"]),
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


@pytest.mark.parametrize("value", [1.0, ["News"], {"a": 1}])
def test_a_cell_that_is_no_label_is_refused_with_task_row_and_dataset(value):
    with pytest.raises(ValueError) as error:
        topics([None, value], TOPIC)
    assert str(error.value).startswith(f"Task 'topic', row 2 of {WHERE}: a label must be a string or a whole number")
    assert f"found {value!r} ({type(value).__name__}). " in str(error.value)


def test_an_unknown_label_is_refused_with_task_row_and_dataset():
    with pytest.raises(ValueError) as error:
        topics(["News", None, "Newz"], TOPIC)
    assert str(error.value) == (
        f"Task 'topic', row 3 of {WHERE}: the label must be one of ['News', 'Opinion'], found 'Newz'. Add it to the "
        "task's labels, or drop the row."
    )


def test_the_row_is_named_beyond_the_first_thousand():
    with pytest.raises(ValueError, match=r"row 1502 of dataset"):
        topics(["News"] * 1501 + ["Newz"], TOPIC)


@pytest.mark.parametrize(
    ("texts", "found"), [(["a", ""], "an empty one"), (["a", " \n"], "an empty one"), (["a", None], "an empty one")]
)
def test_an_empty_text_is_refused_with_row_and_dataset(texts, found):
    with pytest.raises(ValueError) as error:
        mapped({"text": texts, "topic": ["News"] * 2}, ONLY_TOPIC)
    assert str(error.value) == (
        f"Row 2 of {WHERE}: the column 'text' must hold a text, found {found}. Fill it in, or drop the row."
    )


def test_a_text_that_is_a_number_is_refused():
    with pytest.raises(ValueError, match=r"Row 1 .* the column 'text' must hold a text, found 5 \(int\)"):
        mapped({"text": [5], "topic": ["News"]}, ONLY_TOPIC)


def test_the_empty_half_of_a_pair_is_refused():
    pairs = DatasetSettings(path="x", text=["first", "second"], targets={"topic": "topic"})
    with pytest.raises(ValueError, match=r"Row 1 .* the column 'second' must hold a text, found an empty one"):
        mapped({"first": ["a"], "second": [""], "topic": ["News"]}, pairs)


def test_a_row_without_any_target_is_refused():
    with pytest.raises(
        ValueError, match=r"Row 2 of dataset 'news', split 'train': a row must have a target .* drop it"
    ):
        mapped({"text": ["a", "b"], "topic": ["News", None], "mood": [None, ""]})


@pytest.mark.parametrize(("columns", "use"), [(["topic", "mood"], "text"), (["text", "topic"], r"targets\.mood")])
def test_a_missing_column_is_refused_with_its_use(columns, use):
    rows = Dataset.from_dict({column: ["a"] for column in columns})
    with pytest.raises(ValueError, match=rf"{WHERE}: the column '\w+', named by {use}, must exist, found .* Correct"):
        check_columns(rows, BOTH, WHERE)
