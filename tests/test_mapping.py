"""A row keeps its text, and the index of its own label for every task; anything else is refused with its place."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_multitask import Task
from hf_multitask.data import mapping
from hf_multitask.data.mapping import check_columns, forms_of, map_rows
from hf_multitask.data.skipped_rows import check_none_skipped
from hf_multitask.settings.dataset_settings import DatasetSettings

TOPIC = Task(name="topic", labels=("News", "Opinion"))
MOOD = Task(name="mood", labels=("bad", "good"))
BOTH = DatasetSettings(path="x", text="text", targets={"topic": "topic", "mood": "mood"})
ONLY_TOPIC = DatasetSettings(path="x", text="text", targets={"topic": "topic"})
WHERE = "dataset 'news', split 'train'"


def usable(rows: Dataset, dataset: DatasetSettings, tasks) -> list[dict]:
    """The mapped rows, without what tells where they are from; all must be usable."""
    found, skipped = map_rows(rows, dataset, tasks, "news", "train")
    check_none_skipped(skipped)
    return [dict(row) for row in found.remove_columns("row")]


def mapped(columns: dict, dataset: DatasetSettings = BOTH, tasks=(TOPIC, MOOD)) -> list[dict]:
    return usable(Dataset.from_dict(columns), dataset, tasks)


def topics(values: list, task: Task, features: Features | None = None) -> list[int | None]:
    """The mapped targets of a task whose column holds `values`, and another, which every row is labelled for."""
    rows = Dataset.from_dict({"text": ["a"] * len(values), "topic": values, "mood": ["good"] * len(values)}, features)
    return [row["targets"]["topic"] for row in usable(rows, BOTH, [task, MOOD])]


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
        ([3.0, None, 1.0], ("1", "3"), [1, None, 0]),  # as pandas writes 3, nothing and 1
        ([" b", "a "], ("a", "b"), [1, 0]),
        (["None", "NA"], ("NA", "None"), [1, 0]),
    ],
)
def test_a_label_is_found_by_its_name(values, labels, targets):
    assert topics(values, Task(name="topic", labels=labels)) == targets


def test_a_class_label_is_found_by_its_name_and_minus_one_is_none():
    features = Features({"text": Value("string"), "topic": ClassLabel(names=["b", "a"]), "mood": Value("string")})
    assert topics([0, 1, -1, None], Task(name="topic", labels=("a", "b")), features) == [1, 0, None, None]


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), ["News"], {"a": 1}])
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


def test_columns_of_mixed_json_types_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.jsonl").write_text('{"text": "a", "topic": 1}\n{"text": "b", "topic": "01"}\n')
    rows = load_dataset("json", data_files=str(tmp_path / "a.jsonl"), split="train")
    with pytest.raises(ValueError, match=rf"{WHERE}: the column 'topic' must hold values of one type, found several"):
        check_columns(rows, ONLY_TOPIC, WHERE)


def test_a_row_tells_where_it_is_from():
    rows = Dataset.from_dict({"text": ["a", "b"], "topic": ["News", "Opinion"]})
    found, _ = map_rows(rows, ONLY_TOPIC, [TOPIC], "news", "test", numbers=[4, 7])
    assert found["row"][:] == ["news/test/5", "news/test/8"]


def test_rows_that_cannot_be_used_are_told_and_the_others_kept():
    rows = Dataset.from_dict({"text": ["a", "", "c", "d"], "topic": ["News", "News", "Newz", "Opinion"]})
    found, skipped = map_rows(rows, ONLY_TOPIC, [TOPIC], "news", "train")
    assert [(row["row"], row["text"], row["targets"]) for row in found] == [
        ("news/train/1", "a", {"topic": 0}),
        ("news/train/4", "d", {"topic": 1}),
    ]
    assert [row.row for row in skipped] == ["news/train/2", "news/train/3"]
    assert "must hold a text, found an empty one" in skipped[0].reason
    assert "found 'Newz'" in skipped[1].reason


def test_words_are_kept_with_a_label_for_each():
    names = Task(name="names", problem_type="token_classification", labels=("O", "PER"))
    dataset = DatasetSettings(path="x", text="words", targets={"names": "tags", "mood": "mood"})
    columns = {"words": [["Ann", "left"], ["no"]], "tags": [["PER", None], None], "mood": [None, "good"]}
    assert mapped(columns, dataset, [names, MOOD]) == [
        {"words": ["Ann", "left"], "targets": {"names": [1, -100], "mood": None}},
        {"words": ["no"], "targets": {"names": None, "mood": 1}},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Ann left", r"column 'text': the cell must hold a list, found 'Ann left' \(str\)"),
        ("[]", "there must be a list of words, found an empty one"),
        ('["Ann", ""]', "every word must be a text, found ''"),
        ('["Ann", 5]', r"every word must be a text, found 5 \(int\)"),
        ('["\\ud800"]', "the cell must hold a list"),
    ],
)
def test_words_that_are_none_are_refused(words, message):
    names = Task(name="names", problem_type="token_classification", labels=("O", "PER"))
    dataset = DatasetSettings(path="x", text="text", targets={"names": "tags"})
    with pytest.raises(ValueError, match=f"^Row 1 of {WHERE}, {message if 'column' in message else '.*' + message}"):
        mapped({"text": [words], "tags": ['["O"]']}, dataset, [names])


ALIKE = Task(name="alike", problem_type="similarity")
PAIRS = DatasetSettings(path="x", text=["first", "second"], targets={"topic": "topic", "alike": "score"})


def test_a_similarity_beside_other_tasks_gives_a_form_of_its_own():
    rows = Dataset.from_dict(
        {
            "first": ["a", "b", "c"],
            "second": ["d", "e", "f"],
            "topic": ["News", None, "Opinion"],
            "score": [0.5, 1.0, None],
        }
    )
    found, _ = map_rows(rows, PAIRS, [TOPIC, ALIKE], "news", "train")
    forms = {name: [dict(row) for row in rows] for name, rows in forms_of("news", found, PAIRS, [TOPIC, ALIKE]).items()}
    assert forms == {
        "news": [
            {"text": "a", "text_pair": "d", "targets": {"topic": 0, "alike": None}, "row": "news/train/1"},
            {"text": "c", "text_pair": "f", "targets": {"topic": 1, "alike": None}, "row": "news/train/3"},
        ],
        "news:similarity": [
            {"text": "a", "second_text": "d", "targets": {"topic": None, "alike": [0.5]}, "row": "news/train/1"},
            {"text": "b", "second_text": "e", "targets": {"topic": None, "alike": [1.0]}, "row": "news/train/2"},
        ],
    }


def test_a_similarity_alone_has_the_name_of_its_dataset():
    dataset = DatasetSettings(path="x", text=["first", "second"], targets={"alike": "score"})
    found, _ = map_rows(
        Dataset.from_dict({"first": ["a"], "second": ["b"], "score": [1]}), dataset, [ALIKE], "news", "train"
    )
    ((name, rows),) = forms_of("news", found, dataset, [ALIKE]).items()
    assert (name, rows.column_names) == ("news", ["text", "second_text", "targets", "row"])


def test_rows_read_by_other_code_are_not_taken_from_the_cache(tmp_path, monkeypatch):
    Dataset.from_dict({"text": ["good film"], "topic": ["News"]}).save_to_disk(str(tmp_path))

    def files():
        return map_rows(load_from_disk(str(tmp_path)), ONLY_TOPIC, [TOPIC], "d", "train")[0].cache_files

    first = files()
    assert files() == first
    monkeypatch.setattr(mapping, "_code", lambda: "another")
    assert files() != first
