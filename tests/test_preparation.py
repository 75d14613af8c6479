"""All datasets of a run become splits with every task in every row, or are refused before training starts."""

import csv

import pytest
from conftest import tiny_bert
from datasets import Dataset, DatasetDict, concatenate_datasets

from hf_multitask import MultiTaskCollator, Task
from hf_multitask.data.preparation import prepare
from hf_multitask.data.prepared_data import PreparedData
from hf_multitask.data.skipped_rows import write_skipped_rows
from hf_multitask.settings.run_settings import RunSettings

pytestmark = pytest.mark.usefixtures("own_cache")

TOPICS = "text,topic\ngood film,News\nbad song,Opinion\n"
MOODS = "first,second,mood\nvote lost,good,sad\nteam win,great,glad\n"


@pytest.fixture
def prepared(tmp_path):
    """The data of a run whose datasets are folders with the given files."""

    def prepared(datasets: dict[str, dict], how: dict | None = None, **settings) -> PreparedData:
        described = {}
        for name, dataset in datasets.items():
            (tmp_path / name).mkdir(exist_ok=True)
            for split, content in dataset.pop("files").items():
                (tmp_path / name / f"{split}.csv").write_text(content)
            described[name] = {"path": name, **dataset}
        settings = {"backbone": "x", "datasets": described, **settings}
        return prepare(RunSettings.from_dict(settings, tmp_path), **how or {})

    return prepared


def topics(**files: str) -> dict:
    return {"files": files, "text": "text", "targets": {"topic": "topic"}}


def moods(**files: str) -> dict:
    return {"files": files, "text": ["first", "second"], "targets": {"mood": "mood"}}


def test_labels_are_inferred_from_the_rows(prepared, caplog):
    data = prepared({"topics": topics(train=TOPICS, test="text,topic\na,Opinion\n")})
    assert [(task.name, task.labels) for task in data.tasks] == [("topic", ("News", "Opinion"))]
    assert caplog.text == ""


def test_a_label_that_only_other_splits_have_is_a_label_with_a_warning(prepared, caplog):
    data = prepared({"topics": topics(train=TOPICS, test="text,topic\na,Sport\n")})
    assert data.tasks[0].labels == ("News", "Opinion", "Sport")
    assert data.label_counts("test") == {"topic": {"News": 0, "Opinion": 0, "Sport": 1}}
    assert "Task 'topic': no training row has the labels ['Sport']" in caplog.text


TOPIC = Task(name="topic", labels=("News", "Opinion"))


def test_only_rows_that_a_model_is_scored_on_must_be_right(prepared):
    files = {"train": "text,topic\na,Weather\n", "validation": "text,topic\na,Sports\n", "test": TOPICS}
    data = prepared({"topics": topics(**files)}, {"earlier": [TOPIC], "scored": "test"})
    assert data.sizes() == {"topics": {"test": 2}}
    with pytest.raises(ValueError, match=r"found 'Sports'"):
        prepared({"topics": topics(**files)}, {"earlier": [TOPIC], "scored": "validation"})


@pytest.mark.parametrize("validation", [None, TOPICS], ids=["cut", "given"])
def test_rows_to_be_scored_are_cut_as_for_training(prepared, validation):
    train = "text,topic\n" + "".join(f"text {place},{('News', 'Opinion')[place % 2]}\n" for place in range(60))
    files = {"train": train} if validation is None else {"train": train, "validation": validation}
    cut = {"validation": 0.2, "test": 0.3}
    whole = prepared({"topics": topics(**files) | cut}).splits["test"]["topics"]
    scored = prepared({"topics": topics(**files) | cut}, {"earlier": [TOPIC], "scored": "test"})
    assert scored.sizes() == {"topics": {"test": 18}}
    assert scored.splits["test"]["topics"].to_list() == whole.to_list()


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
    rows = concatenate_datasets(list(data.tokenized(tokenizer, 16)["train"].values()))
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
            {"train": "text,topic\na,1.5\nb,News\n"},
            r"Task 'topic': .* row 1 of dataset 'topics', split 'train': '1\.5', and a name",
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


def test_tokenised_rows_are_told_apart_by_split_and_dataset(prepared, tokenizer):
    data = prepared({"topics": topics(train=TOPICS), "moods": moods(train=MOODS)})
    assert {
        split: {name: len(rows) for name, rows in found.items()}
        for split, found in data.tokenized(tokenizer, 4).items()
    } == {"train": {"topics": 2, "moods": 2}}


def test_every_kind_of_task_comes_from_files_to_a_batch(prepared, tokenizer):
    data = prepared(
        {
            "topics": topics(train=TOPICS),
            "facts": {
                "files": {
                    "train": 'text,tags,price,stars,rude,loud,x,y\n"good film","[""a"", ""b""]",1.5,3,1,0,.5,1\n'
                    'bad song,"[]",2,1,0,,1.5,2\n'
                },
                "text": "text",
                "targets": {
                    "tags": "tags",
                    "price": "price",
                    "stars": "stars",
                    "tone": ["rude", "loud"],
                    "at": ["x", "y"],
                },
            },
            "names": {
                "files": {
                    "train": 'words,names\n"[""good"", ""film""]","[""O"", ""PER""]"\n"[""they""]","[""PER""]"\n'
                },
                "text": "words",
                "targets": {"names": "names"},
            },
            "pairs": {
                "files": {"train": "first,second,score,mood\ngood film,great song,4.5,x\nbad,dull team,1,y\n"},
                "text": ["first", "second"],
                "targets": {"alike": "score", "mood": "mood"},
            },
        },
        tasks={"topic": {}, "tags": {}, "price": {}, "tone": {}, "at": {}, "names": {}, "mood": {}}
        | {"stars": {"problem_type": "ordinal"}, "alike": {"problem_type": "similarity", "score_range": [0, 5]}},
    )
    assert {task.name: (task.problem_type, task.labels) for task in data.tasks} == {
        "topic": ("single_label_classification", ("News", "Opinion")),
        "tags": ("multi_label_classification", ("a", "b")),
        "price": ("regression", ()),
        "tone": ("multi_label_classification", ("rude", "loud")),
        "at": ("regression", ("x", "y")),
        "names": ("token_classification", ("O", "PER")),
        "mood": ("single_label_classification", ("x", "y")),
        "stars": ("ordinal", ("1", "3")),
        "alike": ("similarity", ()),
    }
    assert next(task for task in data.tasks if task.name == "at").target_mean == (1.0, 1.5)
    tokenized = data.tokenized(tokenizer, 16)["train"]
    assert list(tokenized) == ["topics", "facts", "names", "pairs", "pairs:similarity"]
    rows = concatenate_datasets(list(tokenized.values()))
    batch = MultiTaskCollator(tokenizer, data.tasks)([rows[index] for index in range(len(rows))])
    labels = {name: tensor.tolist() for name, tensor in batch["labels"].items()}
    nan = float("nan")
    assert labels["topic"] == [0, 1, *[-100] * 8]
    assert labels["stars"] == [-100, -100, 1, 0, *[-100] * 6]
    assert labels["mood"] == [*[-100] * 6, 0, 1, -100, -100]
    assert str(labels["tags"]) == str([[nan] * 2] * 2 + [[1.0, 1.0], [0.0, 0.0]] + [[nan] * 2] * 6)
    assert str(labels["tone"]) == str([[nan] * 2] * 2 + [[1.0, 0.0], [0.0, nan]] + [[nan] * 2] * 6)
    assert str(labels["price"]) == str([[nan]] * 2 + [[1.5], [2.0]] + [[nan]] * 6)
    assert str(labels["at"]) == str([[nan] * 2] * 2 + [[0.5, 1.0], [1.5, 2.0]] + [[nan] * 2] * 6)
    assert str(labels["alike"]) == str([[nan]] * 8 + [[4.5], [1.0]])
    ignored = [-100] * batch["input_ids"].shape[1]
    assert labels["names"] == [ignored] * 4 + [[-100, 0, 1, *ignored[3:]], [-100, 1, *ignored[2:]]] + [ignored] * 4
    assert batch["pair_rows"].tolist() == [8, 9]
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in batch["pair_input_ids"]] == [
        "great song",
        "dull team",
    ]
    assert tokenizer.decode(batch["input_ids"][6], skip_special_tokens=True) == "good film great song"
    assert batch["row_ids"][8] == "pairs/train/1"
    losses = tiny_bert(tasks=data.tasks)(**{name: value for name, value in batch.items() if name != "row_ids"}).losses
    assert set(losses) == {task.name for task in data.tasks}
    assert all(loss.isfinite() for loss in losses.values())
    texts = data.first_texts("train", 5)
    assert len(set(texts)) == 5, "pairs in both forms are one"
    assert ("good film", "great song") in texts
    assert data.number_summaries("train")["at"] == {
        "x": {"count": 2, "mean": 1.0, "min": 0.5, "max": 1.5},
        "y": {"count": 2, "mean": 1.5, "min": 1.0, "max": 2.0},
    }
    assert data.label_counts("train")["tone"] == {"rude": 1, "loud": 0}
    assert data.label_counts("train")["names"] == {"O": 1, "PER": 2}


def test_datasets_from_python_are_prepared_as_those_from_files(prepared):
    rows = {"text": ["good film", "bad song"], "topic": ["News", "Opinion"]}
    described = {"backbone": "x", "datasets": {"topics": {"text": "text", "targets": {"topic": "topic"}}}}
    expected = prepared({"topics": topics(train=TOPICS)})
    for given in (Dataset.from_dict(rows), DatasetDict(train=Dataset.from_dict(rows))):
        found = prepare(RunSettings.from_dict(described), {"topics": given})
        assert found.tasks == expected.tasks
        assert found.splits["train"]["topics"][:] == expected.splits["train"]["topics"][:]


BAD_ROWS = "text,topic\ngood,News\n,News\nbad,Newz\ndull,Opinion\n"
LISTED = {"topic": {"labels": ["News", "Opinion"]}}


def test_all_rows_that_cannot_be_used_are_told_at_once(prepared):
    with pytest.raises(ValueError) as error:
        prepared({"topics": topics(train=BAD_ROWS)}, tasks=LISTED)
    message = str(error.value)
    assert message.startswith(
        "All rows must be usable, found 2 that are not:\n- Row 2 of dataset 'topics', split 'train'"
    )
    assert "\n- Task 'topic', row 3 of dataset 'topics', split 'train'" in message
    assert message.endswith("Correct them, or set invalid_rows: skip to go on without them.")


def test_rows_that_cannot_be_used_are_left_out_and_listed_where_allowed(prepared, tmp_path, caplog):
    data = prepared({"topics": topics(train=BAD_ROWS)}, tasks=LISTED, invalid_rows="skip")
    assert data.splits["train"]["topics"]["text"][:] == ["good", "dull"]
    assert "2 rows cannot be used and are left out" in caplog.text
    path = write_skipped_rows(data.skipped, tmp_path / "output")
    with path.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["row"] for row in listed] == ["topics/train/2", "topics/train/3"]
    assert "found 'Newz'" in listed[1]["reason"]


def test_nothing_is_listed_where_all_rows_are_used(prepared, tmp_path):
    assert write_skipped_rows(prepared({"topics": topics(train=TOPICS)}).skipped, tmp_path / "output") is None
    assert not (tmp_path / "output").exists()


def test_a_split_without_a_usable_row_is_refused(prepared):
    with pytest.raises(ValueError, match=r"dataset 'topics', split 'test': there must be at least one usable row"):
        prepared({"topics": topics(train=TOPICS, test="text,topic\na,x\n")}, tasks=LISTED, invalid_rows="skip")


MANY = "text,topic\n" + "".join(f"good {row},{'News' if row % 4 else 'Opinion'}\n" for row in range(40))


def test_a_split_that_is_missing_is_cut_from_the_training_rows_by_class(prepared):
    data = prepared({"topics": topics(train=MANY) | {"validation": 0.1, "test": 0.2}})
    assert data.sizes() == {"topics": {"train": 28, "validation": 4, "test": 8}}
    assert data.label_counts("validation") == {"topic": {"News": 3, "Opinion": 1}}
    assert data.label_counts("test") == {"topic": {"News": 6, "Opinion": 2}}
    assert sorted(row for split in data.splits.values() for row in split["topics"]["row"][:]) == sorted(
        f"topics/train/{row + 1}" for row in range(40)
    )


def test_a_split_that_is_there_is_not_cut(prepared):
    data = prepared({"topics": topics(train=MANY, validation=TOPICS) | {"validation": 0.1}})
    assert data.sizes() == {"topics": {"train": 40, "validation": 2}}


def test_the_forms_of_a_dataset_are_cut_alike(prepared):
    rows = "first,second,score,mood\n" + "".join(f"a {row},b,{row % 3 / 2},{'xy'[row % 2]}\n" for row in range(20))
    pairs = {"files": {"train": rows}, "text": ["first", "second"], "targets": {"alike": "score", "mood": "mood"}}
    tasks = {"alike": {"problem_type": "similarity"}, "mood": {}}
    data = prepared({"pairs": pairs | {"validation": 0.2}}, tasks=tasks)
    for split in data.splits.values():
        assert split["pairs"]["row"][:] == split["pairs:similarity"]["row"][:]


def test_a_form_without_rows_is_left_out(prepared):
    pairs = {
        "files": {"train": "a,b,score,mood\nx,y,0.5,p\nz,y,1,q\n", "test": "a,b,score,mood\nx,y,0.5,\n"},
        "text": ["a", "b"],
        "targets": {"alike": "score", "mood": "mood"},
    }
    more = {"files": {"train": "a,mood\nx,p\n", "test": "a,mood\nx,p\n"}, "text": "a", "targets": {"mood": "mood"}}
    tasks = {"alike": {"problem_type": "similarity"}, "mood": {}}
    data = prepared({"pairs": pairs, "more": more}, tasks=tasks)
    assert list(data.splits["test"]) == ["pairs:similarity", "more"]


def test_no_more_than_max_rows_of_each_split_are_used(prepared):
    data = prepared({"topics": topics(train=MANY, test=MANY) | {"max_rows": 10}})
    assert data.sizes() == {"topics": {"train": 10, "test": 10}}
    for row in data.splits["train"]["topics"]:
        assert int(row["row"].split("/")[-1]) == int(row["text"].split()[-1]) + 1


def test_another_seed_uses_other_rows(prepared):
    def rows(seed: int) -> list[str]:
        data = prepared({"topics": topics(train=MANY) | {"max_rows": 10}}, training={"seed": seed})
        return data.splits["train"]["topics"]["row"][:]

    assert rows(1) == rows(1) != rows(2)


def test_class_weights_and_standardisation_come_from_the_training_rows(prepared):
    files = {"train": "text,topic,price\na,x,1.5\nb,x,2.5\nc,x,3.5\nd,y,4.5\n", "test": "text,topic,price\na,y,100\n"}
    data = prepared(
        {"a": {"files": files, "text": "text", "targets": {"topic": "topic", "price": "price"}}},
        tasks={"topic": {"class_weights": "balanced"}, "price": {}},
    )
    assert data.tasks[0].class_weights == pytest.approx((2 / 3, 2))
    assert data.tasks[1].target_mean == (3.0,)
    assert data.tasks[1].target_std == pytest.approx((1.25**0.5,))


def test_class_weights_by_label_may_be_given_for_inferred_labels(prepared):
    data = prepared({"topics": topics(train=TOPICS)}, tasks={"topic": {"class_weights": {"Opinion": 2}}})
    assert data.tasks[0].class_weights == (1.0, 2.0)


def test_settings_that_do_not_fit_the_inferred_kind_are_refused(prepared):
    with pytest.raises(ValueError, match="label_smoothing must be left out for problem_type 'regression'"):
        prepared({"topics": topics(train="text,topic\na,1.5\nb,2\n")}, tasks={"topic": {"label_smoothing": 0.1}})


def test_twice_the_datasets_and_tasks_are_opened_twice_as_often(monkeypatch):
    """To open one takes longer the more tasks it has: a square of them would be a cube of the time."""
    opened = []
    plain = Dataset.with_format
    monkeypatch.setattr(Dataset, "with_format", lambda rows, *args: opened.append(1) or plain(rows, *args))

    def times(count):
        datasets = {f"d{n}": {"text": "text", "targets": {f"t{n}": "label"}} for n in range(count)}
        rows = Dataset.from_dict({"text": ["good film", "bad song"], "label": ["a", "b"]})
        opened.clear()
        prepare(RunSettings.from_dict({"backbone": "x", "datasets": datasets}), dict.fromkeys(datasets, rows))
        return len(opened)

    assert times(8) == 2 * times(4) > 0


def test_first_texts_of_words_are_answered_as_these_words():
    rows = Dataset.from_dict({"words": [["good-", "film"], ["bad"]]})
    [first, second] = PreparedData([], {"train": {"rows": rows}}).first_texts("train", 2)
    assert (first, second) == (("good- film",), ("bad",))
    assert [first[0].spans, second[0].spans] == [[(0, 5), (6, 10)], [(0, 3)]]


def test_texts_that_differ_by_space_and_swapped_pairs_of_a_similarity_are_cut_into_one_split(prepared, caplog):
    lines = [f"t{row},u{row},{row}\nu{row},t{row} ,{row}\n" for row in range(20)]
    pairs = {"files": {"train": "first,second,alike\n" + "".join(lines)}, "text": ["first", "second"], "test": 0.3}
    data = prepared(
        {"pairs": pairs | {"targets": {"alike": "alike"}}},
        tasks={"alike": {"problem_type": "similarity", "score_range": [0, 20]}},
    )
    by_split = [{row["text"].strip("tu ") for row in data.splits[split]["pairs"]} for split in ("train", "test")]
    assert [len(found) for found in by_split] == [14, 6]
    assert not by_split[0] & by_split[1]
    assert "trained on" not in caplog.text
