"""Texts become ids that are cut and not padded; labels of words become labels of their first tokens."""

import copy
import logging
import subprocess
import sys

import pytest
from datasets import Dataset, DatasetDict, Features, List, Value, concatenate_datasets, load_from_disk
from datasets.fingerprint import Hasher
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from hf_multitask.data.prepared_data import PreparedData
from hf_multitask.data.tokenization import tokenize, warn_of_cut_texts, warn_of_lost_words
from hf_multitask.modeling.tokenizer_source import load_tokenizer

WORD_TARGETS = {"names": List(Value("int64")), "topic": Value("int64")}


@pytest.fixture(scope="module")
def pieces() -> PreTrainedTokenizerFast:
    """A tokenizer that takes words apart into known pieces."""
    vocabulary = {
        piece: index for index, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Wash", "##ing", "is"])
    }
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", model_max_length=64)


def texts(*values: str, **columns) -> Dataset:
    return Dataset.from_dict({"text": list(values), **columns})


def words(*rows: tuple[list[str], list[int] | None]) -> Dataset:
    features = Features({"words": List(Value("string")), "targets": WORD_TARGETS})
    columns = {
        "words": [row[0] for row in rows],
        "targets": [{"names": row[1], "topic": index} for index, row in enumerate(rows)],
    }
    return Dataset.from_dict(columns, features)


def test_rows_are_cut_to_the_maximal_length_and_never_padded(tokenizer):
    assert tokenize(texts("good film never dull", "bad"), tokenizer, 4)["length"][:] == [4, 3]


def test_a_text_longer_than_the_backbone_can_read_is_refused(tokenizer):
    with pytest.raises(
        ValueError, match="max_length must be at most the 64 tokens of the backbone, found 128 and a text"
    ):
        tokenize(texts("good " * 100, "bad"), tokenizer, 128)


def test_a_second_text_longer_than_the_backbone_can_read_is_refused(tokenizer):
    with pytest.raises(ValueError, match="must be at most the 64 tokens of the backbone, found 128 and a text"):
        tokenize(texts("bad", second_text=["good " * 100]), tokenizer, 128)


def test_a_text_pair_is_read_jointly_and_a_second_text_apart(tokenizer):
    [joint] = tokenize(texts("good film", text_pair=["bad"]), tokenizer, 16)
    [apart] = tokenize(texts("bad", second_text=["good film"]), tokenizer, 16)
    assert tokenizer.decode(joint["input_ids"]) == "[CLS] good film [SEP] bad [SEP]"
    assert tokenizer.decode(apart["input_ids"]) == "[CLS] bad [SEP]"
    assert tokenizer.decode(apart["pair_input_ids"]) == "[CLS] good film [SEP]"
    assert (joint["length"], apart["length"]) == (6, 4)


def test_rows_with_and_without_second_texts_can_be_mixed(tokenizer):
    rows = concatenate_datasets(
        [tokenize(texts("bad"), tokenizer, 16), tokenize(texts("bad", second_text=["good"]), tokenizer, 16)]
    )
    assert [row["pair_input_ids"] is None for row in rows] == [True, False]


def test_the_first_token_of_a_word_has_its_label(pieces):
    [row] = tokenize(words((["Washing", "is", "Washinging"], [1, 0, 2])), pieces, 16)
    assert pieces.convert_ids_to_tokens(row["input_ids"]) == [
        "[CLS]",
        "Wash",
        "##ing",
        "is",
        "Wash",
        "##ing",
        "##ing",
        "[SEP]",
    ]
    assert row["targets"] == {"names": [-100, 1, -100, 0, 2, -100, -100, -100], "topic": 0}
    assert row["length"] == 8


def test_words_are_read_as_in_a_text_by_a_byte_level_tokenizer():
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    backend.train_from_iterator(["a the film is a good film"] * 3, trainer)
    byte_level = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", model_max_length=64)
    [row] = tokenize(words((["the", "good", "film"], [0, 1, 2])), byte_level, 16)
    assert row["input_ids"] == byte_level("the good film")["input_ids"]
    assert [label for label in row["targets"]["names"] if label != -100] == [0, 1, 2]


def test_words_of_rows_without_labels_have_none(pieces):
    rows = tokenize(words((["is"], None), (["is"], [1])), pieces, 16)
    assert [row["targets"]["names"] for row in rows] == [None, [-100, 1, -100]]


def test_labelled_words_that_are_cut_off_are_told(pieces, caplog):
    rows = words((["Washing", "is", "is"], [1, 0, -100]), (["is"], [2]))
    tokenized = tokenize(rows, pieces, 4)
    assert tokenized[0]["targets"]["names"] == [-100, 1, -100, -100]
    assert warn_of_lost_words(rows, tokenized, 4)
    assert "Task 'names': 1 of 3 labelled words have no token within max_length=4 and are left out" in caplog.text


def test_nothing_is_told_where_all_words_are_kept(pieces, caplog):
    with caplog.at_level(logging.WARNING):
        rows = words((["Washing", "is"], [1, -100]))
        assert not warn_of_lost_words(rows, tokenize(rows, pieces, 16), 16)
    assert caplog.text == ""


def test_words_need_a_fast_tokenizer(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match="Labels of words must be read with a fast tokenizer, found Tokenizers"):
        tokenize(words((["is"], [1])), tokenizer, 16)


CACHED = """
import sys
from pathlib import Path
from datasets import load_dataset
from hf_multitask.data.prepared_data import PreparedData
from hf_multitask.modeling.tokenizer_source import load_tokenizer
import hf_multitask.data.tokenization as module

tokenizer = load_tokenizer(sys.argv[1])
for max_length in (8, 9):
    rows = load_dataset("json", data_files=sys.argv[2], split="train", cache_dir=sys.argv[3])
    PreparedData([], {"train": {"rows": rows}}).tokenized(tokenizer, max_length)
print(sorted(path.name for path in Path(sys.argv[3]).rglob("cache-*")))
"""


@pytest.mark.slow
def test_a_second_run_finds_the_tokens_of_the_first(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "train.jsonl").write_text('{"text": "good film"}\n{"text": "bad"}\n')
    command = [sys.executable, "-c", CACHED, *(str(tmp_path / name) for name in ("tokenizer", "train.jsonl", "cache"))]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].count("cache-") == 2


def test_a_backbone_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"(?s)There must be a tokenizer beside a model's weights, found none at .*Save it there"
    ):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_a_padding_token_pads_with_the_end_of_text(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path), pad_token=None, eos_token="[SEP]")
    assert loaded.pad_token == "[SEP]"


@pytest.mark.parametrize("change", ["nothing", "max_length", "tokenizer"])
def test_a_known_tokenizer_reads_from_the_cache_what_it_would_compute(pieces, tmp_path, change, monkeypatch):
    monkeypatch.setattr("datasets.fingerprint._CACHING_ENABLED", True)  # others switch it off for a time
    texts("Washing", "is Washing is").save_to_disk(str(tmp_path / "rows"))
    rows = load_from_disk(str(tmp_path / "rows"))
    first = tokenize(rows, pieces, 5, Hasher.hash(pieces))
    other, max_length = pieces, 4 if change == "max_length" else 5
    if change == "tokenizer":
        other = copy.deepcopy(pieces)
        other.add_tokens("Washing")
    again = tokenize(rows, other, max_length, Hasher.hash(other))
    assert again[:] == tokenize(texts("Washing", "is Washing is"), other, max_length)[:]
    assert (again.cache_files == first.cache_files) == (change == "nothing")


class Unpicklable:
    def __reduce__(self):
        raise TypeError("cannot be pickled")


def test_a_tokenizer_that_cannot_be_pickled_still_reads(pieces):
    tokenizer = copy.copy(pieces)
    tokenizer.part = Unpicklable()
    found = PreparedData([], {"train": {"rows": texts("Washing is")}}).tokenized(tokenizer, 8)
    assert found["train"]["rows"]["length"] == [5]


class Counted:
    pickled = 0

    def __reduce__(self):
        Counted.pickled += 1
        return Counted, ()


def test_a_hundred_datasets_hash_their_tokenizer_once(pieces):
    tokenizer = copy.deepcopy(pieces)
    tokenizer.part = Counted()
    Hasher.hash(tokenizer)
    once, Counted.pickled = Counted.pickled, 0
    PreparedData([], {"train": {str(n): texts("Washing is") for n in range(100)}}).tokenized(tokenizer, 8)
    assert Counted.pickled == once == 1


def test_rows_that_fill_the_length_are_counted_by_split(tokenizer, caplog):
    def rows(*counts):
        return tokenize(Dataset.from_list([{"text": "good " * count} for count in counts]), tokenizer, 8)

    warn_of_cut_texts({"train": {"a": rows(2, 20), "b": rows(30)}, "test": {"a": rows(2)}}, 8)
    (said,) = caplog.messages
    assert said.startswith("Texts are read up to max_length=8 tokens, which 2 of 3 train rows fill.")


def test_nothing_is_said_where_no_row_fills_the_length(tokenizer, caplog):
    rows = tokenize(Dataset.from_list([{"text": "good film"}]), tokenizer, 8)
    warn_of_cut_texts({"train": {"a": rows}}, 8)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            DatasetDict(train=Dataset.from_list([{"text": "good film"}])),
            "found a DatasetDict. Pass one split at a time",
        ),
        ([{"text": "good film"}], "found a list. Pass Dataset.from_list"),
        (Dataset.from_list([{"sentence": "good film"}]), "must have a column 'text', or 'words', found .'sentence'"),
        (Dataset.from_list([{"text": "good film"}, {"text": None}]), "must have a text, found none in .* 'text'. Drop"),
        (Dataset.from_list([{"text": "a", "second_text": None}]), "must have a text, found none in .* 'second_text'"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(tokenizer, rows, message):
    with pytest.raises(ValueError, match=message):
        tokenize(rows, tokenizer, max_length=8)
