"""All datasets of a run become splits with every task in every row, or are refused before training starts."""

import pytest

from hf_multitask.data.preparation import PreparedData, prepare
from hf_multitask.data.tokenization import load_tokenizer
from hf_multitask.settings.run_settings import RunSettings

TOPICS = "text,topic\ngood film,News\nbad song,Opinion\n"
MOODS = "first,second,mood\nvote lost,good,sad\nteam win,great,glad\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def prepared(tmp_path):
    """The data of a run whose datasets are folders with the given files."""

    def prepared(datasets: dict[str, dict], **settings) -> PreparedData:
        described = {}
        for name, dataset in datasets.items():
            (tmp_path / name).mkdir(exist_ok=True)
            for split, content in dataset.pop("files").items():
                (tmp_path / name / f"{split}.csv").write_text(content)
            described[name] = {"path": name, **dataset}
        return prepare(RunSettings.from_dict({"backbone": "x", "datasets": described, **settings}, tmp_path))

    return prepared


def topics(**files: str) -> dict:
    return {"files": files, "text": "text", "targets": {"topic": "topic"}}


def moods(**files: str) -> dict:
    return {"files": files, "text": ["first", "second"], "targets": {"mood": "mood"}}


def test_labels_are_inferred_from_training_rows(prepared):
    data = prepared({"topics": topics(train=TOPICS, test="text,topic\na,Opinion\n")})
    assert [(task.name, task.labels) for task in data.tasks] == [("topic", ("News", "Opinion"))]


def test_a_label_that_only_other_splits_have_is_refused(prepared):
    with pytest.raises(ValueError, match=r"Task 'topic', row 1 of dataset 'topics', split 'test': .* found 'Sport'"):
        prepared({"topics": topics(train=TOPICS, test="text,topic\na,Sport\n")})


def test_given_labels_keep_their_order(prepared):
    data = prepared({"topics": topics(train=TOPICS)}, tasks={"topic": {"labels": ["Opinion", "News", "Sport"]}})
    assert data.tasks[0].labels == ("Opinion", "News", "Sport")
    assert data.label_counts("train") == {"topic": {"Opinion": 1, "News": 1, "Sport": 0}}


def test_a_label_column_with_blanks_stays_a_label_column(prepared):
    data = prepared(
        {"a": topics(train="text,topic,mood\na,1,x\nb,2,\nc,,y\n") | {"targets": {"topic": "topic", "mood": "mood"}}}
    )
    assert [task.labels for task in data.tasks] == [("1", "2"), ("x", "y")]
    assert data.label_counts("train") == {"topic": {"1": 1, "2": 1}, "mood": {"x": 1, "y": 1}}


def test_a_dataset_with_pairs_mixes_with_one_without(prepared, tokenizer):
    data = prepared({"topics": topics(train=TOPICS), "moods": moods(train=MOODS)})
    rows = data.tokenized(tokenizer, 16)["train"]
    assert [row["targets"] for row in rows] == [
        {"topic": 0, "mood": None},
        {"topic": 1, "mood": None},
        {"topic": None, "mood": 1},
        {"topic": None, "mood": 0},
    ]
    assert tokenizer.decode(rows[0]["input_ids"]) == "[CLS] good film [SEP]"
    assert tokenizer.decode(rows[2]["input_ids"]) == "[CLS] vote lost [SEP] good [SEP]"
    assert rows[2]["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_sizes_are_told_per_dataset_and_split(prepared):
    data = prepared({"topics": topics(train=TOPICS, test=TOPICS)})
    assert data.sizes() == {"topics": {"train": 2, "test": 2}}


def test_first_texts_are_drawn_from_all_datasets_in_turn(prepared):
    data = prepared({"topics": topics(train=TOPICS), "moods": moods(train=MOODS)})
    assert data.first_texts("train", 3) == [("good film",), ("vote lost", "good"), ("bad song",)]


def test_first_texts_are_all_texts_where_there_are_fewer(prepared):
    data = prepared({"topics": topics(train=TOPICS, test="text,topic\na,News\n")})
    assert data.first_texts("test", 4) == [("a",)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": "text,label\na,News\n"}, r"dataset 'topics', split 'train': the column 'topic', .* Correct targets"),
        ({"train": "text,topic\na,News\n,Opinion\n"}, r"Row 2 of dataset 'topics', split 'train': .* must hold a text"),
        (
            {"train": "text,topic\na,1.5\nb,2\n"},
            r"Task 'topic', row 1 of dataset 'topics', split 'train': .* found 1\.5",
        ),
        ({"train": "text,topic\na,\nb,\n"}, r"Task 'topic': .* found none in the column 'topic' of dataset 'topics'"),
        ({"train": TOPICS, "test": "text\na\n"}, r"dataset 'topics', split 'test': the column 'topic'"),
        (
            {"train": TOPICS, "test": "text,topic\n"},
            r"datasets\.topics, split 'test': .* a header, text, topic, and no",
        ),
        (
            {"train": TOPICS, "validation": "text,topic\na,\n"},
            r"Row 1 of dataset 'topics', split 'validation': a row must",
        ),
    ],
)
def test_bad_rows_are_refused_with_their_place(prepared, files, message):
    with pytest.raises(ValueError, match=message):
        prepared({"topics": topics(**files)})


def test_a_split_without_labels_for_a_task_is_refused(prepared):
    with pytest.raises(ValueError) as error:
        prepared({"topics": topics(train=TOPICS, validation=TOPICS), "moods": moods(train=MOODS)})
    assert str(error.value) == (
        "Task 'mood', split 'validation': there must be labelled rows, found none in the datasets ['topics']. Add rows "
        "to this split of a dataset with targets for the task, or leave the split out of all datasets."
    )


def test_rows_are_cut_to_the_maximal_length_and_never_padded(prepared, tokenizer):
    data = prepared({"topics": topics(train="text,topic\ngood film never dull,News\nbad,Opinion\n")})
    assert data.tokenized(tokenizer, 4)["train"]["length"][:] == [4, 3]


def test_a_text_longer_than_the_backbone_can_read_is_refused(prepared, tokenizer):
    data = prepared({"topics": topics(train=f"text,topic\n{'good ' * 100},News\nbad,Opinion\n")})
    with pytest.raises(
        ValueError, match="max_length must be at most the 64 tokens of the backbone, found 128 and a text"
    ):
        data.tokenized(tokenizer, 128)


def test_a_backbone_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"(?s)The backbone must be a model with a tokenizer, found none at .*Correct backbone"
    ):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_a_padding_token_pads_with_the_end_of_text(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path), pad_token=None, eos_token="[SEP]")
    assert loaded.pad_token == "[SEP]"
