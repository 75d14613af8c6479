"""A file of texts becomes a file of answers: those of the pipeline, every row once, however often it was stopped."""

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS, make_tokenizer, tiny_bert
from records import TASKS

from hf_multitask import MultiTaskModel
from hf_multitask.__main__ import main
from hf_multitask.commands import bulk
from hf_multitask.files.reading import column_of, read_chunks
from hf_multitask.files.survey import survey
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

HERE = Path(__file__).parent
COUNT = 100


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    model = tiny_bert(tasks=TASKS, initializer_range=0.5)
    model.tokenizer = make_tokenizer()
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "FEWEST_ROWS", 1)
    monkeypatch.setattr(bulk, "PART_BATCHES", 8)
    monkeypatch.setattr(bulk, "use_all_cores", lambda process: None)


def rows(count=COUNT):
    """Texts of many lengths, and other columns; one text is missing and one empty."""
    found = []
    for i in range(count):
        text = " ".join(WORDS[(i * 5 + k) % len(WORDS)] for k in range(1 + i * 7 % 13))
        found.append({"id": f"{i:03}", "text": {7: None, 9: " "}.get(i, text), "other": WORDS[i % 5], "n,\n": None})
    return found


def write(path, found):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(found), path, row_group_size=7)
    elif ".jsonl" in path.name:
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([list(found[0]), *(row.values() for row in found)])
    return path


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file))


def predict(checkpoint, source, output, *words):
    main(["predict", checkpoint, str(source), str(output), "--batch_size", "4", *words])
    return read(output)


def refused(capsys, *words, code=1):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    if code == 1:
        assert str(end.value).startswith("error: ")
        return str(end.value)
    assert end.value.code == code
    return capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_answers_are_those_of_the_pipeline(checkpoint, tmp_path, suffix):
    source = write(tmp_path / "rows.jsonl", rows())
    found = predict(checkpoint, source, tmp_path / f"out.{suffix}", "--text_pair", "other")
    model = MultiTaskModel.from_pretrained(checkpoint)
    pipe = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")
    assert [{name: row[name] for name in rows(1)[0]} for row in found] == rows()
    for row in found:
        told = {name: value for name, value in row.items() if name not in rows(1)[0]}
        if row["id"] in ("007", "009"):
            assert set(told.values()) == {None}
            continue
        answer = pipe((row["text"], row["other"]))
        for name in ("topic", "mood", "stars"):
            assert told.pop(f"{name}_label") == answer[name]["label"]
            assert told.pop(f"{name}_score") == pytest.approx(answer[name]["score"], abs=1e-5)
        assert told.pop("flags_label") == [part["label"] for part in answer["flags"]]
        assert told.pop("flags_score") == pytest.approx([part["score"] for part in answer["flags"]], abs=1e-5)
        assert [part["word"] for part in told["places_entities"]] == [part["word"] for part in answer["places"]]
        assert [part.keys() for part in told.pop("places_entities")] == [part.keys() for part in answer["places"]]
        assert told.pop("length_score") == pytest.approx(answer["length"]["score"], rel=1e-4)
        assert told.pop("alike_score") == pytest.approx(answer["alike"]["score"], abs=1e-5)
        assert told == {}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_every_format_has_the_same_answers(checkpoint, tmp_path, suffix):
    words = ("--tasks", "mood", "flags", "--top_k", "all")
    expected = predict(checkpoint, write(tmp_path / "one.jsonl", rows()), tmp_path / "expected.jsonl", *words)
    source = write(tmp_path / f"rows.{suffix.removesuffix('.gz')}", rows())
    if suffix.endswith(".gz"):
        source = source.rename(tmp_path / "plain.csv")
        (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(source.read_bytes()))
        source = tmp_path / "rows.csv.gz"
    for out in ("jsonl", "parquet"):
        assert predict(checkpoint, source, tmp_path / f"out.{out}", *words) == expected
    as_csv = predict(checkpoint, source, tmp_path / "out.csv", *words)
    for row, known in zip(as_csv, expected, strict=True):
        plain = {key: "" if value is None else value for key, value in known.items()}
        lists = {key: json.dumps(value) for key, value in plain.items() if isinstance(value, list)}
        assert row == plain | lists


def test_what_a_parquet_file_holds_besides_texts_is_kept_with_its_types(checkpoint, tmp_path):
    table = pa.table(
        {
            "text": pa.array(["good", "bad"]).dictionary_encode(),
            "day": pa.array([0, 1], pa.date32()),
            "at": pa.array([1, None], pa.timestamp("ns", "UTC")),
            "small": pa.array([1, 2], pa.int8()),
            "nested": pa.array([{"a": [1.5]}, None]),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    predict(checkpoint, tmp_path / "rows.parquet", tmp_path / "out.parquet", "--tasks", "mood")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names).equals(table)
    as_json = predict(checkpoint, tmp_path / "rows.parquet", tmp_path / "out.jsonl", "--tasks", "mood")
    assert as_json[0]["day"] == "1970-01-01"
    assert as_json[0]["nested"] == {"a": [1.5]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_rows_without_a_text_where_there_is_one_column_only(tmp_path, end):
    (tmp_path / "one.csv").write_bytes(end.join(["", "text", "first", "", "third", '""', " ", "last", ""]).encode())
    (chunk,) = read_chunks(tmp_path / "one.csv", 10)
    assert column_of(chunk, "text") == ["first", None, "third", None, " ", "last"]
    (tmp_path / "two.csv").write_bytes(end.join(["text,x", "first,1", "", "  ", "second,2", "", ""]).encode())
    (chunk,) = read_chunks(tmp_path / "two.csv", 10)
    assert column_of(chunk, "text") == ["first", "second"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_numbers_that_json_has_not_are_left_out(checkpoint, tmp_path, suffix):
    source, output = tmp_path / "rows.jsonl", tmp_path / f"out.{suffix}"
    source.write_text('{"text": "good", "a": NaN, "b": [1e400, 1]}\n', encoding="utf-8")
    main(["predict", checkpoint, str(source), str(output), "--tasks", "mood"])
    told = output.read_text(encoding="utf-8")
    assert "NaN" not in told
    assert "Infinity" not in told
    assert "[null, 1]" in told


def test_infinities_of_a_column_are_kept_where_csv_can_hold_them(checkpoint, tmp_path):
    table = pa.table({"text": ["good"] * 4, "x": [float("inf"), float("-inf"), float("nan"), 0.5]})
    pq.write_table(table, tmp_path / "rows.parquet")
    told = predict(checkpoint, tmp_path / "rows.parquet", tmp_path / "out.csv", "--tasks", "mood")
    assert [row["x"] for row in told] == ["inf", "-inf", "", "0.5"]


def test_empty_cells_of_a_csv_header_are_columns_as_pandas_names_them(checkpoint, tmp_path):
    (tmp_path / "rows.csv").write_text("text,y,,\ngood,1,,2\n")
    (told,) = predict(checkpoint, tmp_path / "rows.csv", tmp_path / "out.csv", "--tasks", "mood")
    assert list(told)[:4] == ["text", "y", "Unnamed: 2", "Unnamed: 3"]
    assert told["Unnamed: 3"] == "2"


def test_nan_is_a_missing_text(checkpoint, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"text": NaN}\n{"text": "good"}\n')
    first, second = predict(checkpoint, tmp_path / "rows.jsonl", tmp_path / "out.jsonl", "--tasks", "mood")
    assert first["text"] is first["mood_label"] is None
    assert second["mood_label"]
    (tmp_path / "rows.jsonl").write_text('{"text": Infinity}\n')
    assert "must hold a text, found inf" in refused(
        capsys, "predict", checkpoint, tmp_path / "rows.jsonl", tmp_path / "no.jsonl"
    )


def test_a_number_of_thousands_of_digits_is_refused_with_its_line(checkpoint, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"text": "good"}\n{"text": "bad", "x": ' + "9" * 5_000 + "}\n")
    message = refused(capsys, "predict", checkpoint, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    assert "must be readable jsonl in UTF-8, found: in line 2: Exceeds the limit" in message


def test_a_column_of_json_that_changes_its_type_is_kept_in_json_and_refused_in_parquet(checkpoint, tmp_path, capsys):
    found = [{"text": "good", "x": 1}, {"text": "bad", "x": 2.5, "late": {"y": 1}}, {"text": "film", "x": None}]
    source = write(tmp_path / "rows.jsonl", found)
    for out in ("jsonl", "parquet"):
        told = predict(checkpoint, source, tmp_path / f"out.{out}", "--tasks", "mood")
        assert [row["x"] for row in told] == [1, 2.5, None]
        assert told[1]["late"] == {"y": 1}
    source = write(tmp_path / "mixed.jsonl", [*found, {"text": "bad", "x": "three"}])
    assert predict(checkpoint, source, tmp_path / "mixed_out.jsonl", "--tasks", "mood")[3]["x"] == "three"
    message = refused(capsys, "predict", checkpoint, source, tmp_path / "mixed_out.parquet")
    assert "the column 'x' must be of one type" in message
    assert not list(tmp_path.glob("mixed_out.parquet*"))


@pytest.mark.parametrize("chunk", [1, 4096])
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("nested", [lambda value: value, lambda value: [value], lambda value: {"a": [value]}])
def test_whole_numbers_that_fractions_cannot_hold_are_refused_with_their_row(
    tmp_path, monkeypatch, chunk, place, nested
):
    monkeypatch.setattr("hf_multitask.files.survey.CHUNK", chunk)
    found = [{"text": "a", "x": nested(value)} for value in (3, 0.5, 2**53)]
    source = write(tmp_path / "rows.jsonl", found)
    assert survey(source, ["text"], with_types=True).rows == 3
    found[place]["x"] = nested(-(2**53) - 1)
    write(source, found)
    with pytest.raises(ValueError, match=rf"rows\.jsonl, row {place + 1}: .* the column 'x' must .* beside fractions"):
        survey(source, ["text"], with_types=True)
    assert survey(write(source, found[place:][:1]), ["text"], with_types=True).rows == 1


@pytest.mark.parametrize(
    ("name", "text", "words", "message"),
    [
        ("rows.csv", "text\n", (), "must have at least one row, found none"),
        ("rows.csv", "txt\ngood\n", (), r"must have the columns ['text'] with the texts, found the columns ['txt']"),
        ("rows.csv", "text,a\ngood,1\nbad,1,2\n", (), "3 cells in row 2, and 2 columns"),
        ("rows.csv", 'text,a\ngood,1\n"bad,1\n', (), "in row 2 a quote that is opened and not closed"),
        ("rows.csv", "text,text\ngood,1\n", (), "the column 'text' twice"),
        ("rows.csv", b"text\ngood\nb\xe4d\n", (), "must be readable csv in UTF-8"),
        ("rows.tsv", 'text\ta\n"good\t1\nbad"\t2\n', (), "in row 1 a quote that is opened and not closed"),
        ("rows.jsonl", '{"text": "good"}\n{"text": 3}\n', (), "Row 2 of "),
        ("rows.jsonl", '{"text": "good"}\n{"text"\n', (), "in line 2: Expecting ':' delimiter"),
        ("rows.jsonl", '{"text": "good"}\n{"text": ["a", " "]}\n', (), "every word must be a text, found ' ' in"),
        ("rows.csv", 'text\n"[""a"", 3]"\n', (), "the column 'text': every word must be a text, found 3 in ['a', 3]"),
        ("rows.jsonl", '{"text": "a", "b": ["a"]}\n', ("--text_pair", "b"), "in the column of the first texts"),
        ("rows.jsonl", '["good"]\n', (), "in line 1 no mapping from columns to cells"),
        ("rows.jsonl", '{"text": "\\ud83d"}\n', (), "at line 1: 'utf-8' codec can't encode"),
        ("rows.jsonl", '{"text": "a", "mood_label": 1}\n', (), "must not be there already, found ['mood_label']"),
        ("rows.parquet", "no parquet", (), "must be readable parquet"),
        ("rows.csv.gz", "no gzip", (), "must be readable csv"),
        ("rows.xml", "<a/>", (), "The input must be one of csv, tsv, jsonl, parquet by its name"),
        ("rows.csv", "text\ngood\n", ("--tasks", "nothing"), "tasks must name some of the model's tasks"),
        ("rows.csv", "text\ngood\n", ("--tasks", "alike"), "The tasks ['alike'] compare two texts"),
        ("rows.csv", "text\ngood\n", ("--text_pair", "b"), "must have the columns ['text', 'b']"),
    ],
)
def test_bad_input_ends_with_one_message_before_anything_is_written(
    checkpoint, tmp_path, capsys, name, text, words, message
):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refused(capsys, "predict", checkpoint, tmp_path / name, tmp_path / "out.jsonl", *words)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_model_that_is_none_is_refused(tmp_path, capsys, backbone_folder):
    source = write(tmp_path / "rows.jsonl", rows(2))
    for folder, message in (
        (tmp_path, "A checkpoint must have a config.json"),
        (backbone_folder, "The model_type of a checkpoint must be 'hf_multitask', found 'bert'"),
    ):
        assert message in refused(capsys, "predict", folder, source, tmp_path / "out.jsonl")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "found adapters alone" in refused(capsys, "predict", tmp_path, source, tmp_path / "out.jsonl")


def test_an_output_is_never_overwritten(checkpoint, tmp_path, capsys):
    source, output = write(tmp_path / "rows.jsonl", rows(2)), tmp_path / "out.jsonl"
    output.write_text("mine")
    assert "The output must not exist yet" in refused(capsys, "predict", checkpoint, source, output)
    assert "by its name, found out.txt" in refused(capsys, "predict", checkpoint, source, tmp_path / "out.txt")
    parts = tmp_path / "other.jsonl.parts"
    parts.mkdir()
    (parts / "mine").touch()
    assert "must hold parts of the output alone" in refused(
        capsys, "predict", checkpoint, source, tmp_path / "other.jsonl"
    )
    assert output.read_text() == "mine"
    assert [path.name for path in parts.iterdir()] == ["mine"]


def interrupt(monkeypatch, after):
    """Ctrl-C behind so many parts."""
    answer_part, left = bulk._answer_part, [after]

    def stop(*args):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        answer_part(*args)

    monkeypatch.setattr(bulk, "_answer_part", stop)


def test_a_stopped_command_goes_on_and_answers_no_row_twice(checkpoint, tmp_path, monkeypatch, capsys):
    source, output = write(tmp_path / "rows.jsonl", rows()), tmp_path / "out.jsonl"
    expected = predict(checkpoint, source, tmp_path / "expected.jsonl")
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(SystemExit) as end:
            predict(checkpoint, source, output)
    assert end.value.code == 130
    assert "Stopped. The same command goes on" in capsys.readouterr().err
    assert len(list(output.with_name("out.jsonl.parts").glob("part-*"))) == 2
    assert not output.exists()
    answered, answer_part = [], bulk._answer_part
    monkeypatch.setattr(bulk, "_answer_part", lambda *args: (answered.append(args[3]), answer_part(*args)))
    assert predict(checkpoint, source, output) == expected
    assert output.read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
    assert answered == [2, 3]
    assert not output.with_name("out.jsonl.parts").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--top_k", "2"), "top_k was 1, is 2"),
        (("--tasks", "mood"), "tasks was None, is ['mood']"),
        (("--batch_size", "2"), "batch_size was 4, is 2"),
        ("input", "input was ['rows.jsonl'"),
        ("model", "model was {'config.json'"),
    ],
)
def test_another_command_does_not_go_on_with_the_parts(checkpoint, tmp_path, monkeypatch, capsys, change, message):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    source, output = write(tmp_path / "rows.jsonl", rows()), tmp_path / "out.jsonl"
    words = ["predict", str(folder), str(source), str(output), "--batch_size", "4"]
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        with pytest.raises(SystemExit):
            main(words)
    if change == "input":
        write(source, rows(COUNT - 1))
    elif change == "model":
        os.utime(folder / "model.safetensors", (1, 1))
    else:
        words += change
    found = refused(capsys, *words)
    assert "must be of the same command, found others" in found
    assert message in found
    assert len(list(output.with_name("out.jsonl.parts").glob("part-*"))) == 1


def test_two_commands_do_not_write_one_output(checkpoint, tmp_path, monkeypatch, capsys):
    source, output = write(tmp_path / "rows.jsonl", rows()), tmp_path / "out.jsonl"
    answer_part, refusals = bulk._answer_part, []

    def start_another(*args):
        if not refusals:
            refusals.append(None)
            refusals[0] = refused(capsys, "predict", checkpoint, source, output, "--batch_size", "4")
        answer_part(*args)

    monkeypatch.setattr(bulk, "_answer_part", start_another)
    assert len(predict(checkpoint, source, output)) == COUNT
    assert "One command at a time must write" in refusals[0]


def test_texts_that_are_cut_are_told_once(checkpoint, tmp_path, caplog, capsys):
    source = write(tmp_path / "rows.jsonl", [{"text": "good " * (90 if i % 10 == 0 else 2)} for i in range(COUNT)])
    predict(checkpoint, source, tmp_path / "out.jsonl", "--tasks", "mood")
    assert caplog.messages == ["10 of 100 texts are longer than the 64 tokens that are read of a text"]
    assert "100 rows: " in capsys.readouterr().out


def test_rows_without_a_text_are_counted(checkpoint, tmp_path, capsys):
    predict(checkpoint, write(tmp_path / "rows.jsonl", rows()), tmp_path / "out.jsonl", "--tasks", "mood")
    assert "100 rows, of which 2 have no text and so no answer: " in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_list_of_words_is_read_as_the_words_of_a_text(checkpoint, tmp_path, suffix):
    words = [["good film", "(council)", "vote"], ["bad"], ["never", "again"], []]
    in_json = suffix in ("csv", "tsv")
    found = [{"text": json.dumps(cell) if in_json else cell, "text_pair": '["good"]'} for cell in words]
    source = write(tmp_path / f"rows.{suffix}", found)
    model = MultiTaskModel.from_pretrained(checkpoint)
    pipe = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")
    told = predict(checkpoint, source, tmp_path / "out.jsonl", "--text_pair", "text_pair")
    assert [row["text"] for row in told] == [row["text"] for row in found]
    assert told[-1]["mood_label"] is None
    for row, cell in zip(told, words[:-1], strict=False):
        answer = pipe((cell, '["good"]'))
        assert row["mood_score"] == pytest.approx(answer["mood"]["score"], abs=1e-5)
        assert [part["word"] for part in row["places_entities"]] == [part["word"] for part in answer["places"]]
    assert any(row["places_entities"] for row in told), "or this test shows less"


@pytest.mark.parametrize("cell", ['["good', "[1, 2]", "[good] film"])
def test_what_looks_like_a_list_of_words_and_is_none_is_a_text(checkpoint, tmp_path, cell):
    told = predict(checkpoint, write(tmp_path / "rows.csv", [{"text": cell}]), tmp_path / "out.jsonl")
    model = MultiTaskModel.from_pretrained(checkpoint)
    answer = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")(cell)
    assert told[0]["mood_score"] == pytest.approx(answer["mood"]["score"], abs=1e-5)


def test_a_model_that_labels_no_words_is_given_texts_alone(tmp_path, capsys, monkeypatch):
    model = tiny_bert(tasks=TASKS[:1])
    model.tokenizer = make_tokenizer()
    model.save_pretrained(tmp_path / "model")
    source = write(tmp_path / "rows.jsonl", [{"text": ["good", "film"]}])
    message = refused(capsys, "predict", tmp_path / "model", source, tmp_path / "out.jsonl")
    assert "must hold a text, found ['good', 'film'] (list)" in message
    assert "Lists of words are read where the model labels words" in message
    cell = '["good", "film"]'
    [told] = predict(str(tmp_path / "model"), write(tmp_path / "rows.csv", [{"text": cell}]), tmp_path / "out.jsonl")
    answer = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")(cell)
    assert told["topic_score"] == pytest.approx(answer["topic"]["score"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "first", "stride"), [("jsonl", 1, 2), ("csv", 3, 4), ("parquet", 2, 2)])
def test_killed_at_any_moment_and_started_again_it_writes_the_same_file(checkpoint, tmp_path, suffix, first, stride):
    source = write(tmp_path / "rows.jsonl", [row | {"n,\n": "x"} for row in rows(32)])
    command = [sys.executable, str(HERE / "bulk_job.py"), checkpoint, str(source), suffix, str(first), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["killed"] >= 18 // stride
    assert told["wrong"] == []


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(checkpoint, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(bulk, "use_all_cores", lambda process: None)
    source = write(tmp_path / "rows.csv", rows(2500))
    words = ["--tasks", "mood", "flags"]
    main(["predict", checkpoint, str(source), str(tmp_path / "one.jsonl"), *words])
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines=1", "--mixed_precision=no"]
    launcher += ["--dynamo_backend=no", "--num_processes=2", "--multi_gpu"]
    launcher += [f"--main_process_port={29500 + os.getpid() % 1000}", "-m", "hf_multitask"]
    command = [*launcher, "predict", checkpoint, str(source), str(tmp_path / "two.jsonl"), *words]
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if core is not None else None,  # one thread each
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2,500 rows") == 1
    assert "0/1476 " in done.stderr, "the first process had two of three parts, and left one to the other"
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert not (tmp_path / "two.jsonl.parts").exists()
