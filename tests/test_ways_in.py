"""One folder, opened where this package is not: as a model, a pipeline and a SentenceTransformer, with one answer."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import make_tokenizer, tiny_bert
from records import TASKS

from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

pytestmark = pytest.mark.slow
SentenceTransformer = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers opens the folder here"
).SentenceTransformer

TEXTS = ["good film", "the council says no , never again today", "", "bad " * 50, "song"]

STRANGER = """
import sys
sys.modules["hf_multitask"] = None  # importing it raises ImportError
import json
import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, pipeline

folder, file = sys.argv[1:]
texts = json.loads(sys.stdin.read())
options = {"batch_size": 2}
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
pipe = pipeline(model=folder, trust_remote_code=True, device="cpu")
sentences = SentenceTransformer(folder, trust_remote_code=True, device="cpu")
by_first = SentenceTransformer(folder, trust_remote_code=True, device="cpu", config_kwargs={"pooling": "cls"})
tokens = by_first.encode(texts, output_value="token_embeddings")
np.savez(
    file,
    by_first=by_first.encode(texts),
    first_tokens=[found[0].numpy() for found in tokens],
    lengths=[len(found) for found in tokens],
    model=model.encode(texts, **options),
    sentences=sentences.encode(texts, **options),
    prompted=sentences.encode(texts, prompt_name="query", truncate_dim=4),
    expected=model.encode(texts, prompt_name="query", truncate_dim=4),
    limit=sentences.max_seq_length,
    size=sentences.get_embedding_dimension(),
)
options = {"trust_remote_code": True, "token": None}
for name in ("processor_kwargs", "tokenizer_kwargs"):  # the newer name, and that of sentence-transformers 5
    short = type(sentences[0]).load(folder, **options, **{name: {"model_max_length": 5}})
    assert short.max_seq_length == 5, name
try:
    SentenceTransformer(folder, trust_remote_code=True, backend="onnx")
except ValueError as error:
    assert "OnnxMultiTask.from_pretrained" in str(error), error
else:
    raise AssertionError("a backend that there is not is ignored")
sentences.save(folder + "-again")
again = SentenceTransformer(folder + "-again", trust_remote_code=True)
np.savez(file + "-again", sentences=again.encode(texts, batch_size=2))  # other batches round otherwise
heads = AutoModel.from_pretrained(folder + "-again", trust_remote_code=True)
assert sorted(heads.heads) == sorted(model.heads), "the heads are kept"
print(json.dumps(pipe(texts, top_k=None)))
"""


@pytest.fixture(scope="module", params=[False, True], ids=["as they are", "normalised"])
def opened(request, tmp_path_factory):
    """A checkpoint, what a stranger found in it, and what its answers should be."""
    folder = tmp_path_factory.mktemp("ways") / "model"
    model = tiny_bert(tasks=TASKS, initializer_range=0.5)
    model.config.normalize, model.config.prompts = request.param, {"query": "song "}
    model.tokenizer = make_tokenizer()
    model.tokenizer.model_max_length = 12
    model.save_pretrained(folder)
    environment = {**os.environ, "HF_HOME": str(folder.parent / "cache"), "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), str(folder.parent / "found")],
        input=json.dumps(TEXTS),
        env=environment,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(folder.parent / "found.npz"), np.load(folder.parent / "found-again.npz")
    return model, *found, json.loads(done.stdout.splitlines()[-1])


def test_a_sentence_transformer_has_the_models_embeddings(opened):
    model, found, _, _ = opened
    expected = model.encode(TEXTS, batch_size=2)
    for way in ("model", "sentences"):
        np.testing.assert_allclose(found[way], expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found["prompted"], found["expected"], atol=1e-6, rtol=0)
    assert np.allclose(np.linalg.norm(expected, axis=1), 1) == model.config.normalize


def test_a_sentence_transformer_reads_and_returns_as_much_as_the_model(opened):
    assert opened[1]["limit"] == 12
    assert opened[1]["size"] == 16


def test_a_sentence_transformer_embeds_tokens_and_heeds_its_options(opened):
    model, found, _, _ = opened
    assert found["lengths"].tolist() == [min(12, len(ids)) for ids in model.tokenizer(TEXTS)["input_ids"]]
    lengths = np.linalg.norm(found["first_tokens"], axis=1, keepdims=True) if model.config.normalize else 1
    np.testing.assert_allclose(found["by_first"], found["first_tokens"] / lengths, atol=1e-6, rtol=0)


def test_a_sentence_transformer_reads_no_more_than_the_encoder_has_positions_for(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 10**30  # as of one that was made by its user
    tokenizer.save_pretrained(tmp_path)
    tiny_bert().save_pretrained(tmp_path)
    opened = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    assert opened.max_seq_length == 64
    assert opened.encode("good " * 200).shape == (16,)


def test_a_sentence_transformer_can_be_saved_and_opened_again(opened):
    _, found, again, _ = opened
    np.testing.assert_allclose(again["sentences"], found["sentences"], atol=1e-6, rtol=0)


def test_a_pipeline_has_the_models_answers(opened):
    model, _, _, answers = opened
    expected = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")(TEXTS, top_k=None)
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer.keys() == wanted.keys()
        for name in ("topic", "flags"):
            scores, others = ({part["label"]: part["score"] for part in found[name]} for found in (answer, wanted))
            assert scores == pytest.approx(others, abs=1e-6)
        assert answer["length"]["score"] == pytest.approx(wanted["length"]["score"], rel=1e-5)
        assert [part["word"] for part in answer["places"]] == [part["word"] for part in wanted["places"]]
