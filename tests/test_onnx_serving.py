"""An exported folder answers as the pipeline of its model does, without torch and without this package."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import transformers
from datasets import Dataset
from exports import every_kind
from transformers.pipelines.pt_utils import KeyDataset

import hf_multitask
from hf_multitask import OnnxMultiTask
from hf_multitask.exporting.onnx_export import export_onnx
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

pytestmark = pytest.mark.slow  # makes a graph, and starts processes

TEXTS = ["good film", ("good film", "council vote"), "the council says no , never again today", ("", "song"), ""]
TEXTS += [{"text": "bad", "text_pair": "good song"}, "good " * 50, "good-film, they're never U.S. songs"]
TEXTS += [{"text": ["good film", "(council)", "vote"]}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "out"
    model = every_kind()
    model.config.normalize = True
    model.config.prompts = {"query": "says they"}
    export_onnx(model, folder)
    return str(folder)


@pytest.fixture(scope="module")
def served(folder):
    return OnnxMultiTask.from_pretrained(folder)


@pytest.fixture(scope="module")
def pipe():
    model = every_kind()
    model.config.normalize = True
    model.config.prompts = {"query": "says they"}
    return MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")


def assert_same(found, expected):
    """Equal, but for the last digits of numbers."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_same(ours, theirs)
    else:
        assert found == (pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": 2, "batch_size": 2}, {"tasks": ["mood", "places"]}])
def test_answers_are_the_pipelines(served, pipe, options):
    assert_same(served(TEXTS, **options), pipe(TEXTS, **options))


def test_one_text_has_one_answer_and_a_stream_is_a_stream(served, pipe):
    for text in TEXTS:
        assert_same(served(text), pipe(text))
    read = []

    def texts():
        for index in range(300):
            read.append(index)
            yield "good " * (1 + index % 5)

    answers = served(texts(), batch_size=2, tasks=["length"])
    assert_same(next(answers), pipe("good ", tasks=["length"]))
    assert len(read) == 2
    assert len(list(answers)) == 299
    column = Dataset.from_dict({"text": ["good film", "bad"]})["text"]
    assert_same(list(served(column)), pipe(["good film", "bad"]))
    assert_same(list(served(KeyDataset(Dataset.from_dict({"text": ["good film"]}), "text"))), pipe(["good film"]))
    assert served([]) == []


def test_it_can_be_copied_and_sent_elsewhere(served, folder, monkeypatch):
    monkeypatch.chdir(Path(folder).parent)
    sent = pickle.dumps(OnnxMultiTask.from_pretrained(Path(folder).name))
    monkeypatch.chdir("/")
    for copied in (copy.deepcopy(served), pickle.loads(sent)):
        assert_same(copied(TEXTS), served(TEXTS))


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("good", {"tasks": ["nothing"]}, r"tasks must name some of the model's tasks .*, found \['nothing'\]"),
        ("good", {"top_k": 0}, "top_k must be at least 1"),
        (["good"], {"batch_size": 0}, "batch_size must be at least 1"),
        ("good", {"tasks": ["alike"]}, "compare two texts, found a single one"),
        (3, {}, "A text must be a string, or for a pair"),
        ([("a", "b", "c")], {}, "A text must be a string, or for a pair"),
        (pd.DataFrame({"text": ["good"]}), {}, "Texts must be a list or a column of them, found a DataFrame"),
    ],
)
def test_what_cannot_be_asked_is_refused(served, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        served(inputs, **options)


def test_what_the_pipeline_tells_of_texts_is_told(served, caplog):
    served(["", "good " * 50])
    assert caplog.messages == [
        "1 of 2 texts are empty, or have an empty part; their answers mean little",
        "1 of 2 texts are longer than the 32 tokens that are read of a text",
    ]


@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"truncate_dim": 5}, {"prompt_name": "query"}])
def test_embeddings_are_the_models(served, pipe, options):
    texts = ["good film", "the council says no , never again today", "", "bad"]
    expected = pipe.model.encode(texts, **options)
    np.testing.assert_allclose(served.encode(texts, **options), expected, atol=1e-5)
    np.testing.assert_allclose(served.encode("bad", **options), expected[-1], atol=1e-5)
    assert served.encode([]).shape == (0, 16)


ANSWER = """
import json, sys
from transformers.dynamic_module_utils import get_class_from_dynamic_module
folder = sys.argv[1]
model = get_class_from_dynamic_module("onnx_multitask.OnnxMultiTask", folder).from_pretrained(folder)
answers = model(json.loads(sys.argv[2]), top_k=None)
loaded = [name for name in ("torch", "hf_multitask", "datasets", "sklearn") if name in sys.modules]
print(json.dumps({"answers": answers, "embedding": model.encode("good film").tolist(), "loaded": loaded}))
"""


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """A folder of all installed packages but torch and this one."""
    folder = tmp_path_factory.mktemp("packages")
    for path in Path(transformers.__file__).parents[1].iterdir():
        if not path.name.startswith(("torch", "hf_multitask", "_hf_multitask", "__editable__")):
            (folder / path.name).symlink_to(path)
    return folder


def answer_elsewhere(folder, tmp_path, *options, **environment):
    command = [sys.executable, *options, "-c", ANSWER, folder, json.dumps(TEXTS)]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "TRANSFORMERS_VERBOSITY": "info", **environment}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout), found.stderr


def test_a_stranger_without_torch_and_without_this_package_has_the_same_answers(folder, pipe, tmp_path, without_torch):
    found, told = answer_elsewhere(folder, tmp_path, "-S", PYTHONPATH=str(without_torch))
    assert found["loaded"] == []
    assert "PyTorch was not found" in told, "or this test shows nothing"
    assert_same(found["answers"], pipe(TEXTS, top_k=None))
    np.testing.assert_allclose(found["embedding"], pipe.model.encode("good film"), atol=1e-5)


def test_where_torch_is_installed_the_answers_are_the_same_and_nothing_is_warned_of(folder, pipe, tmp_path):
    found, told = answer_elsewhere(folder, tmp_path, PYTHONPATH=str(Path(hf_multitask.__file__).parents[1]))
    assert "hf_multitask" not in found["loaded"]
    assert_same(found["answers"], pipe(TEXTS, top_k=None))
    assert "You are using a model of type" not in told


def test_the_number_of_threads_can_be_set(folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    served = OnnxMultiTask.from_pretrained(folder, session_options=options, providers=["CPUExecutionProvider"])
    assert served("good")["topic"].keys() == {"label", "score"}


def test_a_folder_without_a_graph_is_refused(tmp_path):
    every_kind().save_pretrained(tmp_path)
    with pytest.raises(OSError, match="model.onnx"):
        OnnxMultiTask.from_pretrained(tmp_path)
