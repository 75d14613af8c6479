"""A file of texts becomes a file of embeddings: those of `encode`."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TASKS, make_tokenizer, tiny_bert
from test_command_predict import _small_parts, read, refused, rows, write  # noqa: F401 - a fixture

from hf_multitask import MultiTaskModel
from hf_multitask.__main__ import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    model = tiny_bert(tasks=TASKS, initializer_range=0.5)
    model.tokenizer = make_tokenizer()
    model.config.prompts = {"query": "council vote "}
    model.save_pretrained(folder)
    return str(folder)


def embed(checkpoint, source, output, *words):
    main(["embed", checkpoint, str(source), str(output), *words])
    return read(output)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {}),
        (("--normalize",), {"normalize": True}),
        (("--truncate_dim", "4", "--prompt_name", "query"), {"truncate_dim": 4, "prompt_name": "query"}),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_embeddings_are_those_of_encode(checkpoint, tmp_path, words, options, suffix):
    source, output = write(tmp_path / "rows.jsonl", rows(40)), tmp_path / f"out.{suffix}"
    found = embed(checkpoint, source, output, *words)
    model = MultiTaskModel.from_pretrained(checkpoint)
    for row, given in zip(found, rows(40), strict=True):
        vector = json.loads(row["embedding"] or "null") if suffix == "csv" else row["embedding"]
        if given["id"] in ("007", "009"):
            assert vector is None
        else:
            expected = model.encode(given["text"], **options)
            np.testing.assert_allclose(np.asarray(vector, np.float32), expected, atol=1e-5)


def test_texts_hold_every_digit_of_an_embedding_and_no_more(checkpoint, tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(20))
    exact = embed(checkpoint, source, tmp_path / "out.parquet")
    as_text = embed(checkpoint, source, tmp_path / "out.jsonl")
    assert pq.read_schema(tmp_path / "out.parquet").field("embedding").type == pa.list_(pa.float32())
    for row, told in zip(exact, as_text, strict=True):
        if row["embedding"] is not None:
            assert np.array_equal(np.float32(row["embedding"]), np.float32(told["embedding"]))
            assert max(len(repr(number)) for number in told["embedding"]) < 16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--truncate_dim", "17"), "truncate_dim must be at most 16, the size of the embeddings, found 17"),
        (("--prompt_name", "document"), "prompt_name must be one of ['query'], found 'document'"),
        (("--text", "words"), "must have the columns ['words'] with the texts"),
    ],
)
def test_what_cannot_be_asked_is_refused(checkpoint, tmp_path, capsys, words, message):
    source = write(tmp_path / "rows.jsonl", rows(3))
    assert message in refused(capsys, "embed", checkpoint, source, tmp_path / "out.jsonl", *words)
    assert not list(tmp_path.glob("out*"))


def test_a_list_of_words_is_embedded_as_the_text_that_they_make(tmp_path):
    model = tiny_bert(
        tasks=[*TASKS, {"name": "places", "problem_type": "token_classification", "labels": ["O", "PLACE"]}]
    )
    model.tokenizer = make_tokenizer()
    model.save_pretrained(tmp_path / "model")
    source = write(tmp_path / "rows.jsonl", [{"text": ["good", "film"]}, {"text": []}, {"text": ["bad"]}])
    first, none, last = embed(str(tmp_path / "model"), source, tmp_path / "out.jsonl")
    assert none["embedding"] is None
    expected = model.encode(["good film", "bad"])
    np.testing.assert_allclose([first["embedding"], last["embedding"]], expected, atol=1e-5)
