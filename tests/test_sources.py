"""Rows come out of files as they were put in, whatever the format; what cannot be read is refused."""

import bz2
import gzip
import json
import lzma

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset, DatasetDict

from hf_multitask.data.sources import given_splits, load_splits, load_stream
from hf_multitask.settings.dataset_settings import DatasetSettings

pytestmark = pytest.mark.usefixtures("own_cache")

ROWS = [{"text": 'He said "no",\nand left.', "topic": "News"}, {"text": "Très bien; été", "topic": "Opinion"}]
GIVEN = DatasetSettings(text="text", targets={"topic": "topic"})
ONE = Dataset.from_list(ROWS)


@pytest.fixture
def load(tmp_path):
    """The splits of a dataset in a folder with the given files."""

    def load(files: dict[str, str | bytes] | None = None, path: str = "data", **settings) -> dict[str, Dataset]:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        dataset = DatasetSettings(path=path, text="text", targets={"topic": "topic"}, **settings)
        return load_splits("news", dataset, tmp_path)

    return load


def csv(separator: str = ",") -> str:
    return pd.DataFrame(ROWS).to_csv(index=False, sep=separator)


def jsonl() -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def parquet(folder) -> bytes:
    pd.DataFrame(ROWS).to_parquet(folder / "x")
    return (folder / "x").read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", csv()),
        ("train.CSV", csv()),
        ("train.tsv", csv("\t")),
        ("train.jsonl", jsonl()),
        ("train.json", json.dumps(ROWS)),
        ("train.parquet", parquet),
        ("train.csv.gz", gzip.compress(csv().encode(), mtime=0)),
        ("train.csv.bz2", bz2.compress(csv().encode())),
        ("train.csv.xz", lzma.compress(csv().encode())),
        ("train.jsonl.gz", gzip.compress(jsonl().encode(), mtime=0)),
        ("train.csv", b"\xef\xbb\xbf" + csv().encode()),
        ("train.jsonl", b"\xef\xbb\xbf" + jsonl().encode()),
    ],
)
def test_every_format_gives_the_same_rows(load, tmp_path, name, content):
    splits = load({name: content(tmp_path) if callable(content) else content})
    assert [dict(row) for row in splits["train"]] == ROWS


def test_a_file_is_a_train_split(load):
    assert list(load({"any.csv": csv()}, path="data/any.csv")) == ["train"]


def test_splits_are_found_by_the_names_of_their_files(load):
    splits = load({name: csv() for name in ["train.csv", "dev.csv", "test.csv", "notes.csv"]})
    assert list(splits) == ["train", "validation", "test"]


@pytest.mark.parametrize("name", ["validation", "Valid", "DEV", "val"])
def test_a_split_is_found_by_one_rule_wherever_it_is(load, name, caplog):
    assert list(load({"Train.csv": csv(), f"{name}.CSV": csv()})) == ["train", "validation"]
    assert list(given_splits("news", GIVEN, DatasetDict({"Train": ONE, name: ONE}))) == ["train", "validation"]
    assert caplog.messages == []


def test_the_splits_of_a_dataset_on_the_hub_are_found_by_the_same_rule(monkeypatch, tmp_path, caplog):
    splits = DatasetDict({"train": ONE, "dev": ONE, "unsupervised": ONE})
    monkeypatch.setattr("hf_multitask.data.sources.load_dataset", lambda *args, **kwargs: splits)
    on_hub = DatasetSettings(path="some/news", text="text", targets={"topic": "topic"})
    assert list(load_splits("news", on_hub, tmp_path)) == ["train", "validation"]
    assert len(caplog.messages) == 1
    assert "not read are ['unsupervised']" in caplog.text


def test_files_of_rows_that_are_no_split_are_told_at_once(load, caplog):
    names = ["train.csv", "Test.csv", "eval.csv", "validation_matched.csv", "config.json", "_x.csv", "README.md"]
    assert list(load({name: csv() for name in names})) == ["train", "test"]
    (message,) = caplog.messages
    assert message.startswith("datasets.news, ")
    assert "not read are ['eval.csv', 'validation_matched.csv']" in message
    assert message.endswith("Rename them, or name those that are to be used in data_files")


def test_files_of_json_are_told_where_the_rows_are_json(load, caplog):
    load({"train.json": jsonl(), "eval.json": jsonl()})
    assert "not read are ['eval.json']" in caplog.text


def test_what_is_left_over_of_given_splits_is_told(caplog):
    given_splits("news", GIVEN, DatasetDict(train=ONE, validation_matched=ONE))
    (message,) = caplog.messages
    assert "datasets.news: not read are ['validation_matched']" in message
    assert message.endswith("Rename them, or name those that are to be used in splits")


def test_who_names_splits_or_files_is_not_told_of_others(load, caplog):
    files = {"train.csv": csv(), "dev.csv": csv(), "other.csv": csv()}
    load(files, data_files={"train": "train.csv"})
    assert list(load(files, splits={"test": "dev"})) == ["train", "test"]
    named = DatasetSettings(text="text", targets={"topic": "topic"}, splits={"train": "a"})
    given_splits("news", named, DatasetDict(a=ONE, b=ONE))
    assert caplog.messages == []


def test_two_given_splits_for_one_are_refused():
    with pytest.raises(ValueError, match=r"split 'validation': one split called .* found \['dev', 'val'\]\. Name the"):
        given_splits("news", GIVEN, DatasetDict(train=ONE, dev=ONE, val=ONE))


def test_data_files_and_splits_name_the_files(load):
    files = {"a.csv": csv(), "b.csv": csv(), "held_out.csv": csv()}
    named = load(files, data_files={"train": ["a.csv", "b.csv"], "test": "held_out.csv"})
    assert {split: len(rows) for split, rows in named.items()} == {"train": 4, "test": 2}
    assert list(load(files, splits={"train": "a", "validation": "held_out"})) == ["train", "validation"]


@pytest.mark.parametrize("word", ["None", "NA", "null", "nan", "N/A", "1", "1.0", "01", "True", "2020-01-01"])
def test_a_csv_cell_is_the_string_that_stands_there(load, word):
    assert load({"train.csv": f"text,topic\n{word},{word}\nb,\n"})["train"][:] == {
        "text": [word, "b"],
        "topic": [word, None],
    }


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_within_quotes_and_lines_without_cells_are_no_rows_of_their_own(load, separator, end):
    lines = ["text,topic", "", '"a', "", '""b"" c",x', "  ", "d,", ""]
    name = "train.csv" if separator == "," else "train.tsv"
    found = load({name: end.join(lines).replace(",", separator)})["train"]
    assert found[:] == {"text": [f'a{end}{end}"b" c', "d"], "topic": ["x", None]}


def test_a_changed_file_is_read_again(load):
    load({"train.csv": "text,topic\na,x\n"})
    assert load({"train.csv": "text,topic\nb,x\nc,y\n"})["train"]["text"][:] == ["b", "c"]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("train.csv", "", "No columns"),
        ("train.csv", "text,topic\n", "a header, text, topic, and no row"),
        ("train.csv.gz", gzip.compress(b"", mtime=0), "No columns"),
        ("train.jsonl", "", "no row"),
        ("train.jsonl", "\n", "no row"),
        ("train.json", "[]", "no row"),
        ("train.csv", b"text,topic\na,x\n\xff,x\n", "can't decode byte 0xff"),
        ("train.csv", b"t\xe9xt,topic\na,x\n", "can't decode byte 0xe9"),
        ("train.jsonl", b'{"text": "\xff"}\n', "can't decode byte 0xff"),
        ("train.csv", "text,topic\na,b,x\nc,d,y\n", "in train.csv, 3 cells in row 1, and 2 columns"),
        ("train.csv", "text,topic\na,x\nc,d,y\n", "in train.csv, 3 cells in row 2, and 2 columns"),
        ("train.csv", "text;topic\na;x\nb, c;y\n", "2 cells in row 2, and 1 columns; the header has ';' between its"),
        ("train.csv", "text,topic\n" + "a,x\n" * 10_000 + "c,d,y\n", "3 cells in row 10001, and 2 columns"),
        ("train.csv", "text,topic\na,x\nb\nc,y\n", "in train.csv, 1 cells in row 2, and 2 columns"),
        ("train.tsv", "text\ttopic\na\tx\nb\nc\ty\n", "in train.tsv, 1 cells in row 2, and 2 columns"),
        ("train.csv", 'text,topic\n"a,x\nb,y\n', "in train.csv, in row 1 a quote that is opened and not closed"),
        ("train.csv", 'text,topic\na,x\n"b,y\nc,x\na "d" e,x\nf,y\n', "in row 2 a quote that is opened and not"),
        ("train.csv", '"text,topic\na,x\n', "in the header a quote that is opened and not closed"),
        ("train.csv", "text,topic,topic\na,x,y\n", "the column 'topic' twice"),
        ("train.jsonl", '{"text": "a"}\n{"text\n', "in train.jsonl, no JSON in line 2"),
        ("train.json", "{", "JSON"),
        ("train.parquet", "PAR1", "Parquet"),
        ("train.csv.gz", "text,topic\na,x\n", "Not a gzipped file"),
        ("train.csv.zip", "text,topic\na,x\n", "not a zip file"),
    ],
)
def test_an_unreadable_or_empty_file_is_refused(load, name, content, found):
    with pytest.raises(ValueError) as error:
        load({name: content})
    message = str(error.value)
    assert message.startswith("datasets.news, split 'train': ")
    assert f"{name} must be readable" in message
    assert found in message.partition("found: ")[2]
    assert message.endswith("Correct the file.")


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"dev.csv": csv()}, {}, r"must be a train split, found \['validation'\] in data\. Call its file train\.csv"),
        ({"train.txt": csv()}, {}, r"must be a train split, found no split in data\."),
        ({"train.csv": csv(), "train.tsv": csv("\t")}, {}, r"one file called train must .*'train\.csv', 'train\.tsv'"),
        ({"train.csv": csv(), "dev.csv": csv(), "val.csv": csv()}, {}, r"split 'validation': one file .*'dev\.csv'"),
        ({"train.csv": csv()}, {"splits": {"test": "final"}}, "split 'test': one file called final must .* found none"),
        (
            {"a.csv": csv()},
            {"path": "data/a.csv", "splits": {"test": "a"}},
            "splits must be left out where path is one",
        ),
        ({"train.csv": csv()}, {"name": "en"}, r"\['name'\] must be left out where path names a file or folder"),
        ({}, {"path": "data/none.csv"}, r"path must exist, found no 'data/none\.csv' .* Correct it"),
        ({}, {"path": "./none"}, r"path must exist, found no '\./none'"),
        ({}, {"path": "none"}, "'none' must be a local path or a dataset on the Hub, found: .* Correct path"),
        ({"train.csv": csv()}, {"data_files": "other.csv"}, r"files must exist .* found \['.*other\.csv'\]"),
        ({"a.csv": csv(), "b.jsonl": jsonl()}, {"data_files": ["a.csv", "b.jsonl"]}, "files must exist and be all csv"),
        ({}, {"data_files": []}, r"files must exist and be all csv.* found \[\]"),
        ({"a.csv": csv(), "b.csv": "text\na\n"}, {"data_files": ["a.csv", "b.csv"]}, "found: different columns"),
    ],
)
def test_files_that_are_missing_or_too_many_are_refused(load, files, settings, message):
    with pytest.raises(ValueError, match=f"(?s)^datasets.news.*{message}"):
        load(files, **settings)


def test_a_stray_quote_in_a_tsv_that_would_swallow_rows_is_refused(tmp_path):
    (tmp_path / "train.tsv").write_text('text\ttopic\n"Spider-man is back\tNews\nplain\tOpinion\nhe said "no"\tNews\n')
    with pytest.raises(ValueError, match="in train.tsv, in row 1 a quote that is opened and not closed"):
        load_splits("news", DatasetSettings(path=str(tmp_path), text="text", targets={"topic": "topic"}), tmp_path)


def test_a_tab_within_a_quoted_cell_of_a_tsv_is_a_part_of_it(load):
    rows = [{"text": "one\ttwo", "topic": "News"}, {"text": "one\ntwo", "topic": "News"}]
    found = load({"train.tsv": pd.DataFrame(rows).to_csv(index=False, sep="\t")})
    assert [dict(row) for row in found["train"]] == rows


@pytest.mark.parametrize("folder", ["v[2]", "a*"])
def test_names_that_look_like_patterns_are_names(tmp_path, folder):
    (tmp_path / folder).mkdir()
    for name, text in (("rows[1].csv", "right"), ("rows1.csv", "wrong")):
        (tmp_path / folder / name).write_text(f"text,topic\n{text},News\n")
    settings = DatasetSettings(path=f"{folder}/rows[1].csv", text="text", targets={"topic": "topic"})
    assert load_splits("news", settings, tmp_path)["train"]["text"][:] == ["right"]


def test_a_long_csv_is_read_in_parts_to_the_same_rows(load, monkeypatch):
    monkeypatch.setattr("hf_multitask.data.csv_files.CHUNK", 1)
    assert [dict(row) for row in load({"train.csv": csv()})["train"]] == ROWS


def test_of_several_files_the_one_with_the_row_is_named(load):
    files = {"a.csv": csv(), "b.csv": "text,topic\na,x\nb\n"}
    with pytest.raises(ValueError, match=r"found: in b\.csv, 1 cells in row 2, and 2 columns\. Correct the file"):
        load(files, data_files=["a.csv", "b.csv"])


def test_a_dataset_needs_a_path_or_rows(tmp_path):
    with pytest.raises(ValueError, match="datasets.news: the key 'path' must be given, found none"):
        load_splits("news", DatasetSettings(text="text", targets={"topic": "topic"}), tmp_path)


def test_rows_from_python_are_the_training_split():
    splits = given_splits("news", GIVEN, ONE)
    assert {split: list(rows) for split, rows in splits.items()} == {"train": ROWS}


def test_splits_from_python_may_have_other_names():
    named = DatasetSettings(text="text", targets={"topic": "topic"}, splits={"train": "a", "test": "b"})
    assert list(given_splits("news", named, DatasetDict(a=ONE, b=ONE, c=ONE))) == ["train", "test"]
    assert list(given_splits("news", GIVEN, DatasetDict(train=ONE, validation=ONE, c=ONE))) == ["train", "validation"]


def test_the_format_of_rows_from_python_does_not_matter():
    numbers = Dataset.from_dict({"text": ["a"], "topic": [1]}).with_format("torch")
    assert given_splits("news", GIVEN, numbers)["train"][:] == {"text": ["a"], "topic": [1]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS, "its rows must be a datasets.Dataset or DatasetDict, found list"),
        (DatasetDict(test=ONE), r"there must be a train split, found \['test'\] in the given rows"),
        (ONE.select([]), "split 'train': there must be at least one row, found none"),
    ],
)
def test_rows_from_python_that_cannot_be_used_are_refused(rows, message):
    with pytest.raises(ValueError, match=f"^datasets.news.*{message}"):
        given_splits("news", GIVEN, rows)


def test_a_split_that_rows_from_python_lack_is_refused():
    named = DatasetSettings(text="text", targets={"topic": "topic"}, splits={"train": "a"})
    with pytest.raises(ValueError, match=r"datasets.news.splits must name splits .*\['train'\], found \['a'\]"):
        given_splits("news", named, ONE)


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.jsonl.gz"])
@pytest.mark.parametrize("half", ["\\ud800a", "a\\uDC00", "\\ud83d\\ud83d\\ude00", "\\\\\\ud800"])
def test_half_of_a_surrogate_pair_is_refused_with_its_line(load, name, half):
    content = f'{{"text": "a", "topic": "{half}"}}'
    content = f"[\n{content}]" if name == "train.json" else f'{{"text": "a", "topic": "b"}}\n{content}\n'
    with pytest.raises(ValueError, match=r"must be readable .*in line 2 \\u.* half of a character"):
        load({name: gzip.compress(content.encode()) if name.endswith("gz") else content})


def test_surrogate_pairs_and_escaped_backslashes_are_text(load):
    rows = load({"train.json": '[{"text": "\\ud83d\\ude00", "topic": "\\\\ud800"}]'})["train"]
    assert rows[:] == {"text": ["\U0001f600"], "topic": ["\\ud800"]}


def test_bytes_that_are_no_utf_8_are_refused(load, tmp_path):
    bytes_of = pa.array([b"\xff\xfe", b"a"], pa.binary()).view(pa.string())
    pa.parquet.write_table(pa.table({"text": bytes_of, "topic": ["x", "y"]}), tmp_path / "x")
    with pytest.raises(ValueError, match="datasets.news, split 'train': its texts must be UTF-8, found: .*"):
        load({"train.parquet": (tmp_path / "x").read_bytes()})


A, B = '{"text": "a", "topic": "p"}\n', '{"text": "b", "topic": "q"}\n'


def of_two_files(load, first: str, second: str, **settings):
    """The rows of two files of one split."""
    return load({"a.jsonl": first, "b.jsonl.gz": gzip.compress(second.encode())}, data_files=["a.jsonl", "b.jsonl.gz"])


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (
            A + B,
            B + '{"text": 5, "topic": "p"}\n',
            r"'text' .*'a' \(str\) in row 1 of a\.jsonl and 5 \(int\) in row 2 of b",
        ),
        (
            A,
            '{"text": "b", "topic": 12.50}\n',
            r"'topic' .*'p' \(str\) in row 1 .*12\.5 \(float\) in row 1 of b\.jsonl\.gz",
        ),
        (A, '{"text": "b", "topic": true}\n', r"'topic' .*True \(bool\)"),
        (A, '{"text": "b", "topic": ["p"]}\n', r"'topic' .*\['p'\] \(list\)"),
        (A.replace('"p"', "1"), '{"text": "b", "topic": true}\n', r"'topic' .*1 \(int\) .*True \(bool\)"),
        (A.replace('"p"', "1"), '{"text": "b", "topic": "01"}\n', r"'topic' .*1 \(int\) .*'01' \(str\)"),
        (A.replace('"p"', '["p"]'), '{"text": "b", "topic": ["q", 1]}\n', r"'topic' .*'p' \(str\) .*1 \(int\)"),
    ],
)
def test_a_column_of_json_with_several_kinds_of_value_is_refused_with_file_and_row(load, first, second, found):
    with pytest.raises(ValueError, match=rf"^datasets\.news, split 'train': the column {found}.* Write all as strings"):
        of_two_files(load, first, second)


def test_one_odd_cell_behind_ten_megabytes_of_json_changes_no_other(load):
    rows = "".join(json.dumps({"text": "x" * 2_000_000, "topic": "pq"[row % 2]}) + "\n" for row in range(7))
    with pytest.raises(
        ValueError, match=r"'topic' must hold values of one type, .* 3 \(int\) in row 8 of train\.jsonl"
    ):
        load({"train.jsonl": rows + '{"text": "b", "topic": 3}\n'})


@pytest.mark.parametrize(
    "value", ["2020-05-01", "2020-05-01 10:00:00", "2020-05-01T10:00:00Z", "01", "1.0", "null", "[1]"]
)
def test_strings_of_json_stay_as_they_are_whatever_they_look_like(load, value):
    rows = of_two_files(load, A, json.dumps({"text": value, "topic": value}) + "\n")["train"]
    assert rows[:] == {"text": ["a", value], "topic": ["p", value]}
    alone = load({"train.json": json.dumps([{"text": value, "topic": value}])}, data_files="train.json")["train"]
    assert alone[:] == {"text": [value], "topic": [value]}


def test_whole_numbers_of_json_beside_others_are_numbers(load):
    rows = of_two_files(load, A.replace('"p"', "1"), B.replace('"q"', "0.12345678901234567"))["train"]
    assert rows["topic"][:] == [1.0, 0.12345678901234567]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (str(2**53 + 1), "at most 9,007,199,254,740,992 beside numbers with a point"),
        (str(-(2**64)), "at most 9,223,372"),
    ],
)
def test_whole_numbers_of_json_that_would_change_are_refused(load, first, message):
    second = "0.5" if "point" in message else "1"
    with pytest.raises(ValueError, match=f"'topic' must hold whole numbers of {message}.* in row 1 of a.jsonl"):
        of_two_files(load, A.replace('"p"', first), B.replace('"q"', second))


def test_other_columns_of_json_may_hold_anything(load):
    more = [
        {"text": "a", "topic": "p", "k": 1},
        {"topic": "q", "text": "b", "k": {"m": [True, "x"]}},
        {"k": "2020-01-01"},
    ]
    rows = load({"train.jsonl": "".join(json.dumps(row) + "\n" for row in more)})["train"]
    assert rows[:] == {"text": ["a", "b", None], "topic": ["p", "q", None]}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("as_list", [True, False])
def test_json_of_any_layout_gives_the_same_rows(load, indent, as_list):
    content = json.dumps(ROWS, indent=indent) if as_list else "\n".join(json.dumps(row, indent=indent) for row in ROWS)
    assert [dict(row) for row in load({"train.json": "\n" + content})["train"]] == ROWS


def test_json_that_is_no_rows_is_refused(load):
    with pytest.raises(ValueError, match="in train.json, in row 2 no mapping from columns to cells"):
        load({"train.json": '[{"text": "a"},\n 3]'})


@pytest.mark.parametrize("name", ["train.json", "train.jsonl"])
def test_a_column_that_a_row_of_json_has_twice_is_refused(load, name):
    row = '{"text": "a", "topic": "p", "topic": "q"}'
    with pytest.raises(ValueError, match=f"in {name}, no JSON.*: 'topic' twice in a mapping"):
        load({name: f"[{row}]" if name == "train.json" else A + row})


def test_a_column_that_json_lacks_is_left_to_be_told_with_the_others(load):
    assert load({"train.jsonl": '{"text": "a", "label": "x"}\n'})["train"].column_names == ["text", "label"]


def test_streams_of_json_are_checked_before_they_begin_and_have_a_part_per_file(tmp_path):
    settings = DatasetSettings(
        path=str(tmp_path), text="text", targets={"topic": "topic"}, data_files=["a.jsonl", "b.jsonl"], streaming=True
    )
    (tmp_path / "a.jsonl").write_text(A)
    (tmp_path / "b.jsonl").write_text('{"text": "2020-05-01", "topic": "q"}\n')
    stream, _ = load_stream("news", settings, tmp_path)
    assert list(stream) == [{"text": "a", "topic": "p"}, {"text": "2020-05-01", "topic": "q"}]
    assert stream.num_shards == 2
    (tmp_path / "b.jsonl").write_text('{"text": 5, "topic": "q"}\n')
    with pytest.raises(ValueError, match=r"the column 'text' must hold values of one type, .*row 1 of b\.jsonl"):
        load_stream("news", settings, tmp_path)
