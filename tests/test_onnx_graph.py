"""A graph computes what its model does, for any architecture, number of texts and number of tokens."""

import numpy as np
import onnx
import pytest
import torch
from architectures import token_ids
from conftest import tiny_bert
from exports import KINDS, every_kind, tiny, torch_arrays, with_tokenizer

from hf_multitask.exporting.graph import export_graph, graph_inputs
from hf_multitask.modeling.onnx_graph import OnnxGraph

SHAPES = [(1,), (1, 1, 1), (5,), (2, 1), (9, 6, 4), (30, 3), (32,), (8, 0)]
"""Lengths of the texts of a batch; the last has a text of nothing but padding."""

EXPORTED = dict.fromkeys(["bert", "roberta", "electra", "albert", "deberta-v2", "modernbert", "t5"], "mean")
EXPORTED |= {"distilbert": "cls", "mpnet": "max", "qwen3": "last"}
"""Architecture -> its pooling."""

pytestmark = [
    pytest.mark.slow,  # some seconds for each architecture
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
]


def graph_of(model, path) -> OnnxGraph:
    export_graph(model, model.config.tasks, path)
    return OnnxGraph(str(path))


def assert_same(model, graph, batch) -> None:
    expected, found = torch_arrays(model, batch), graph.run(batch, graph.outputs)
    assert list(found) == list(expected)
    real = batch["attention_mask"].bool().numpy()
    for name, ours in expected.items():
        theirs = found[name]
        assert theirs.shape == ours.shape
        if ours.ndim == 3:
            ours, theirs = ours[real], theirs[real]
        np.testing.assert_allclose(theirs, ours, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("model_type", EXPORTED)
def test_a_graph_answers_as_its_model_for_any_number_of_texts_and_tokens(model_type, tmp_path, monkeypatch):
    tries = []
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", lambda *a, **k: tries.append(k["strict"]) or export(*a, **k))
    model = tiny(model_type, EXPORTED[model_type])
    graph = graph_of(model, tmp_path / "model.onnx")
    assert tries == [False]  # the first way of torch.onnx, without dynamo, is enough: others take twice the time
    assert graph.inputs == ["input_ids", "attention_mask"]
    assert graph.outputs == ["sentence_embedding", *(f"logits_{task.name}" for task in KINDS)]
    assert graph.hidden_size == 16
    for lengths in SHAPES:
        assert_same(model, graph, token_ids(*lengths))
    batch = token_ids(9, 5)
    padded = graph.run(batch, ["sentence_embedding"])["sentence_embedding"][1:]
    alone = graph.run({name: tensor[1:, :5] for name, tensor in batch.items()}, ["sentence_embedding"])
    np.testing.assert_allclose(padded, alone["sentence_embedding"], atol=1e-5)


def test_a_graph_reads_the_segments_of_pairs_where_model_and_tokenizer_have_them(tmp_path):
    model = every_kind()
    assert graph_inputs(model) == ["input_ids", "attention_mask", "token_type_ids"]
    graph = graph_of(model, tmp_path / "model.onnx")
    batch = {name: tensor % 22 for name, tensor in token_ids(9, 5).items()}
    segments = (torch.arange(9) > 3).long().expand(2, 9)
    assert_same(model, graph, batch | {"token_type_ids": segments})
    assert_same(model, graph, batch | {"token_type_ids": torch.zeros_like(segments)})
    first, second = (
        graph.run(given, ["sentence_embedding"])["sentence_embedding"]
        for given in (batch, batch | {"token_type_ids": segments})
    )
    assert np.abs(first - second).max() > 1e-2


def test_a_graph_answers_the_chosen_tasks_alone_and_computes_no_more_than_is_asked(tmp_path):
    model = every_kind()
    path = tmp_path / "model.onnx"
    export_graph(model, [model.config.task(name) for name in ("mood", "alike")], path)
    graph = OnnxGraph(str(path))
    assert graph.outputs == ["sentence_embedding", "logits_mood"]
    assert list(graph.run({"input_ids": [[4, 5]], "attention_mask": [[1, 1]]}, ["logits_mood"])) == ["logits_mood"]


def test_a_task_may_have_any_name(tmp_path):
    name = "top ic/1: \u00e9"
    model = with_tokenizer(tiny_bert(tasks=[{"name": name, "labels": ["a", "b"]}]))
    assert graph_of(model, tmp_path / "model.onnx").outputs == ["sentence_embedding", f"logits_{name}"]


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(tmp_path):
    path = tmp_path / "model.onnx"
    export_graph(every_kind(), KINDS, path)
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert b"hf_multitask" not in content
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"], "one file"
    onnx.checker.check_model(path)


def test_a_backbone_that_cannot_be_traced_is_refused_in_our_words(tmp_path, capsys, monkeypatch):
    model = every_kind()
    forward = model.backbone.encoder.forward

    def depends_on_values(hidden, *args, **kwargs):
        return forward(hidden if hidden.sum().item() > 0 else -hidden, *args, **kwargs)

    monkeypatch.setattr(model.backbone.encoder, "forward", depends_on_values)
    with pytest.raises(
        ValueError, match=r"one that torch.onnx.export can trace, found 'bert', with which it fails: .+"
    ):
        export_graph(model, KINDS, tmp_path / "model.onnx")
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_ordered_labels_of_which_the_model_is_sure_have_its_logits(tmp_path):
    model = every_kind()
    with torch.no_grad():
        model.heads["stars"][0].weight.mul_(20)
    batch = dict(model.tokenizer(["good film", "song vote bad"], padding=True, return_tensors="pt"))
    expected = torch_arrays(model, batch)["logits_stars"]
    assert expected.min() < -30
    export_graph(model, [model.config.task("stars")], tmp_path / "model.onnx")
    found = OnnxGraph(str(tmp_path / "model.onnx")).run(batch, ["logits_stars"])["logits_stars"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
