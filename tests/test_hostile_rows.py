"""Whatever stands in the rows, they become the right batch or are refused with a reason; no label is ever another's."""

import csv
import json
import logging

import pandas as pd
import pytest
from conftest import make_tokenizer
from datasets import Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_multitask import MultiTaskCollator, Task
from hf_multitask.data.mapping import map_rows
from hf_multitask.data.preparation import prepare
from hf_multitask.data.sources import load_splits
from hf_multitask.data.tokenization import tokenize
from hf_multitask.settings.dataset_settings import DatasetSettings
from hf_multitask.settings.run_settings import RunSettings

TOKENIZER = make_tokenizer()
REFUSED = object()
FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
NAN = float("nan")


@pytest.fixture(autouse=True)
def _quiet(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def cases(values: dict) -> st.SearchStrategy:
    """Cells and what each should become."""
    return st.sampled_from(list(values.items()))


TEXTS = [
    "good film",
    "\0",
    "bad\0song",
    "good " * 20_000,
    "\u202egood",
    "e\u0301",
    "\U0001f600",
    "[1, 2]",
    "nan",
    "\ufeff",
]
TEXT = st.sampled_from(TEXTS) | st.text(min_size=1).filter(str.strip)
BLANK = st.sampled_from([None, "", " ", "\n\t", "\u00a0"])

CHOICE = cases(
    {
        "News": 0,
        " Opinion\n": 1,
        "": None,
        None: None,
        "news": REFUSED,
        "N\u0435ws": REFUSED,
        "News\u200b": REFUSED,
        "\uff2eews": REFUSED,
        "News\0": REFUSED,
        "0": REFUSED,
        "nan": REFUSED,
        "News" * 50_000: REFUSED,
    }
)
SEVERAL = cases(
    {
        '["rude"]': (1.0, 0.0),
        '["loud", "rude", "loud"]': (1.0, 1.0),
        "[]": (0.0, 0.0),
        "[0, 1]": (0.0, 1.0),
        "": None,
        None: None,
        "rude": REFUSED,
        '["rude"': REFUSED,
        '["Rude"]': REFUSED,
        '["r\u0443de"]': REFUSED,
        '["rude", null]': REFUSED,
        "[1]": REFUSED,
        "[0, 1, 0]": REFUSED,
        "[NaN, 1]": REFUSED,
        '["\\ud800"]': REFUSED,
        '{"rude": 1}': REFUSED,
        "[" * 5000: REFUSED,
    }
)
NUMBER = cases(
    {
        "1.5": (1.5,),
        " -2 ": (-2.0,),
        "1e3": (1000.0,),
        "3.4028234e38": (3.4028234663852886e38,),
        "": None,
        None: None,
        "nan": REFUSED,
        "NaN": REFUSED,
        "inf": REFUSED,
        "-Infinity": REFUSED,
        "1e400": REFUSED,
        "1e39": REFUSED,
        "9" * 400: REFUSED,
        "1_0": REFUSED,
        "1,5": REFUSED,
        "0x10": REFUSED,
        "one": REFUSED,
        "[1.5]": REFUSED,
    }
)
WORDS = cases(
    {
        '["good", "film"]': 2,
        '["\\u0000"]': 1,
        '["\\ud83d\\ude00", "never", "never"]': 3,
        "[]": REFUSED,
        "": REFUSED,
        None: REFUSED,
        "good film": REFUSED,
        '["good", ""]': REFUSED,
        '["good", 1]': REFUSED,
        '["\\udc00"]': REFUSED,
    }
)
TAGS = cases(
    {
        '["O", "PER"]': (0, 1),
        '["PER"]': (1,),
        '[null, "O", ""]': (-100, 0, -100),
        "": None,
        '["O", "O", "O", "O"]': (0, 0, 0, 0),
        '["P\u0415R", "O"]': REFUSED,
        '["O", 1.5]': REFUSED,
        "O PER": REFUSED,
    }
)

TASKS = [
    Task(name="topic", labels=("News", "Opinion")),
    Task(name="tags", problem_type="multi_label_classification", labels=("rude", "loud")),
    Task(name="price", problem_type="regression"),
]
NAMES = Task(name="names", problem_type="token_classification", labels=("O", "PER"))


def strings(**columns: list) -> Dataset:
    return Dataset.from_dict(columns, Features({name: Value("string") for name in columns}))


def labels_of(rows: Dataset, tasks: list[Task]) -> dict[str, list]:
    """The labels that the model gets."""
    tokenized = tokenize(rows, TOKENIZER, 16)
    batch = MultiTaskCollator(TOKENIZER, tasks)([tokenized[index] for index in range(len(tokenized))])
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["input_ids"].shape[1] <= 16
    return {name: labels.tolist() for name, labels in batch["labels"].items()}


@FEW
@given(st.lists(st.tuples(TEXT | BLANK, CHOICE, SEVERAL, NUMBER), min_size=1, max_size=8))
def test_hostile_texts_and_targets(rows):
    texts, *cells = (list(column) for column in zip(*rows, strict=True))
    columns = {task.name: [cell for cell, _ in column] for task, column in zip(TASKS, cells, strict=True)}
    dataset = DatasetSettings(text="text", targets={task.name: task.name for task in TASKS})
    found, skipped = map_rows(strings(text=texts, **columns), dataset, TASKS, "d", "train")
    good = {}
    for index, (text, *targets) in enumerate(rows):
        expected = [target for _, target in targets]
        if text is not None and text.strip() and REFUSED not in expected and expected != [None] * 3:
            good[index] = expected
    assert found["row"][:] == [f"d/train/{index + 1}" for index in good]
    assert [row.row for row in skipped] == [f"d/train/{index + 1}" for index in range(len(rows)) if index not in good]
    for row in skipped:
        assert f"ow {row.row.split('/')[-1]} of dataset 'd', split 'train'" in row.reason
        assert len(row.reason) < 1000
    assert found["text"][:] == [texts[index] for index in good]
    if good:
        blank = {"topic": -100, "tags": [NAN, NAN], "price": [NAN]}
        for position, (name, empty) in enumerate(blank.items()):
            wanted = [targets[position] for targets in good.values()]
            expected = [empty if t is None else list(t) if isinstance(t, tuple) else t for t in wanted]
            assert repr(labels_of(found, TASKS)[name]) == repr(expected)


@FEW
@given(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=6))
def test_hostile_words_and_their_labels(rows):
    words, tags = ([case[0] for case in column] for column in zip(*rows, strict=True))
    dataset = DatasetSettings(text="words", targets={"names": "names"})
    found, skipped = map_rows(strings(words=words, names=tags), dataset, [NAMES], "d", "train")
    good = {
        index: labels
        for index, ((_, count), (_, labels)) in enumerate(rows)
        if count is not REFUSED and labels not in (None, REFUSED) and len(labels) == count
    }
    assert found["row"][:] == [f"d/train/{index + 1}" for index in good]
    assert len(skipped) == len(rows) - len(good)
    if good:
        batch = labels_of(found, [NAMES])["names"]
        for row, (index, labels) in zip(batch, good.items(), strict=True):
            # The test's tokenizer makes one token of each of these words, between the two special ones.
            expected = [-100, *labels, -100]
            assert row == expected + [-100] * (len(row) - len(expected)), words[index]


@FEW
@given(
    st.lists(
        st.tuples(TEXT, st.text(max_size=4) | st.sampled_from(["a", "b", "1", "1.5", "[]"])), min_size=2, max_size=9
    )
)
def test_labels_of_any_strings_are_kept_or_refused(rows):
    texts, cells = (list(column) for column in zip(*rows, strict=True))
    described = {"backbone": "x", "datasets": {"d": {"text": "text", "targets": {"topic": "topic"}}}}
    described["tasks"] = {"topic": {"problem_type": "single_label_classification"}}
    try:
        data = prepare(RunSettings.from_dict(described), {"d": strings(text=texts, topic=cells)})
    except ValueError as error:
        must, found, _ = str(error).partition("found")
        assert " must " in must or "needs" in must
        assert found
        return
    (task,) = data.tasks
    indices = [row["targets"]["topic"] for row in data.splits["train"]["d"]]
    assert [None if index is None else task.labels[index] for index in indices] == [
        cell.strip() or None for cell in cells
    ]


NAMES_OR_NONE = st.none() | st.text(max_size=3)
COLUMNS = st.sampled_from(
    [
        NAMES_OR_NONE,
        st.none() | st.booleans(),
        st.none() | st.integers(-5, 5),
        st.none() | st.floats(),
        st.none() | st.lists(NAMES_OR_NONE, max_size=2),
        st.none() | st.lists(st.none() | st.floats(), max_size=2),
        st.none() | st.binary(max_size=2),
        st.none() | st.datetimes(),
        st.none() | st.dictionaries(st.just("a"), st.integers(0, 3)),
    ]
).flatmap(lambda values: st.lists(values, min_size=1, max_size=5))


@FEW
@given(COLUMNS)
def test_values_of_any_type_are_targets_or_refused(values):
    try:
        rows = Dataset.from_dict({"text": ["a"] * len(values), "topic": values})
    except (TypeError, ValueError):
        return  # datasets itself refuses values of several types
    described = {"backbone": "x", "datasets": {"d": {"text": "text", "targets": {"topic": "topic"}}}}
    try:
        data = prepare(RunSettings.from_dict(described), {"d": rows})
    except ValueError as refused:
        error = str(refused)
    else:
        labels_of(data.splits["train"]["d"], data.tasks)
        return
    assert "found" in error


TEXT_IN_FILES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@settings(FEW, max_examples=8)
@given(
    rows=st.lists(st.tuples(TEXT_IN_FILES, TEXT_IN_FILES), min_size=1, max_size=5),
    suffix=st.sampled_from(["csv", "jsonl"]),
)
def test_files_give_back_the_strings_that_were_written(rows, suffix, tmp_path):
    columns = {"text": [text for text, _ in rows], "topic": [label for _, label in rows]}
    path = tmp_path / f"train.{suffix}"
    if suffix == "csv":
        pd.DataFrame(columns).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    else:
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    dataset = DatasetSettings(path=str(path), text="text", targets={"topic": "topic"})
    try:
        found = load_splits("d", dataset, tmp_path)["train"]
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "must be readable" in refusal
        return
    for name in columns:
        if found.features[name] == Value("string"):
            assert found[name][:] == columns[name]
