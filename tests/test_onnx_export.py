"""What is exported agrees with its model, or is not there."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from architectures import tiny_model
from conftest import make_tokenizer
from exports import every_kind, labelled_batches
from onnx import numpy_helper
from records import TASKS
from transformers import AutoTokenizer

from hf_multitask.evaluation.registry import primary_of
from hf_multitask.exporting import onnx_export, trial
from hf_multitask.exporting.deviation import TOLERANCE, Deviation, deviations
from hf_multitask.exporting.onnx_export import export_onnx
from hf_multitask.exporting.random_texts import random_batches
from hf_multitask.exporting.scores import SCORE_TOLERANCE, primary_scores, worsening

HEADS = ["topic", "mood", "stars", "flags", "places", "length"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its folder in float32 and what is known of it."""
    model = every_kind()
    folder = tmp_path_factory.mktemp("exported") / "out"
    return model, folder, export_onnx(model, folder, validation=labelled_batches(model))


@pytest.fixture
def already_traced(exported, monkeypatch):
    """The model, its validation batches, and a stand-in for tracing it again; `change` changes the graph."""
    model, folder, _ = exported

    def change(function):
        def copied(source, tasks, path):
            graph = onnx.load(folder / "model.onnx")
            function(graph)
            onnx.save(graph, path)

        monkeypatch.setattr(onnx_export, "export_graph", copied)

    change(lambda graph: None)
    return model, labelled_batches(model), change


def weight(graph, name):
    return next(found for found in graph.graph.initializer if name in found.name)


def scaled(name, factor):
    def change(graph):
        found = weight(graph, name)
        found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(factor), found.name))

    return change


@pytest.mark.slow
def test_the_record_tells_deviations_scores_sizes_and_versions(exported):
    _, folder, record = exported
    assert record.inputs == ["input_ids", "attention_mask", "token_type_ids"]
    assert record.outputs == ["sentence_embedding", *(f"logits_{name}" for name in HEADS)]
    compared = record.float32.validation
    assert compared.keys() == {*record.outputs, "logits_alike"}
    assert record.float32.random_texts.keys() == set(record.outputs), "random texts have no second ones"
    for found in (*compared.values(), *record.float32.random_texts.values()):
        assert found.is_allowed
        assert found.max_difference > 0
    assert {name for name, found in compared.items() if found.same_decisions is None} == {
        *("sentence_embedding", "logits_length", "logits_alike")
    }
    assert {found.same_decisions for found in compared.values()} == {None, 1.0}
    assert record.validation_rows == 24
    assert record.metrics == {task.name: primary_of(task).name for task in TASKS}
    assert record.scores.keys() == record.float32.scores.keys() == {task.name for task in TASKS}
    assert record.float32.scores == pytest.approx(record.scores, abs=1e-3)
    assert record.float32.size == (folder / "model.onnx").stat().st_size
    written = json.loads((folder / "onnx_export.json").read_text())
    assert written["versions"]["torch"] == torch.__version__
    assert written["float32"]["scores"] == record.float32.scores
    assert written["int8"] is None


@pytest.mark.slow
def test_the_folder_holds_what_serves_the_graph_and_nothing_else(exported, tmp_path):
    _, folder, _ = exported
    files = {file.name for file in folder.iterdir()}
    code = {file for file in files if file.endswith(".py")}
    assert files - code == {"model.onnx", "config.json", "onnx_export.json", "tokenizer.json", "tokenizer_config.json"}
    assert "onnx_multitask.py" in code
    for file in code:
        assert "import torch" not in (folder / file).read_text()
        assert "from torch" not in (folder / file).read_text()
    assert [file.name for file in folder.parent.iterdir()] == ["out"]
    (tmp_path / "new").mkdir()
    assert folder.stat().st_mode == (tmp_path / "new").stat().st_mode, "not its owner's alone, as temporary ones are"
    config = json.loads((folder / "config.json").read_text())
    assert [task["name"] for task in config["tasks"]] == [task.name for task in TASKS]
    assert not {"auto_map", "custom_pipelines", "architectures", "model_type"} & config.keys()
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 32


@pytest.mark.slow
def test_exporting_leaves_the_model_as_it_is(exported):
    model, _, _ = exported
    expected = every_kind().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert model.config.to_dict() == every_kind().config.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "output"),
    [
        (scaled("heads.topic.weight", 1.001), "logits_topic"),
        (scaled("word_embeddings", 1.001), "sentence_embedding"),
        (scaled("heads.length", 1.001), "logits_length"),
    ],
)
def test_a_graph_that_does_not_agree_is_not_written(already_traced, tmp_path, change, output):
    model, _, changed = already_traced
    changed(change)
    with pytest.raises(
        ValueError, match=rf"The graph's {output} must be the model's up to .* on random texts\. Nothing"
    ):
        export_onnx(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_graph_that_disagrees_on_the_validation_rows_alone_is_not_written(already_traced, tmp_path, monkeypatch):
    model, batches, changed = already_traced
    plain = {name: batches[0][name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    monkeypatch.setattr(trial, "random_batches", lambda model: [plain | {"input_ids": plain["input_ids"] % 4}])

    def last_words(graph):
        found = weight(graph, "word_embeddings")
        values = numpy_helper.to_array(found).copy()
        values[4:, 0] += 0.1
        found.CopyFrom(numpy_helper.from_array(values, found.name))

    changed(last_words)
    with pytest.raises(ValueError, match="found a difference of .* on validation rows"):
        export_onnx(model, tmp_path / "out", validation=batches)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_model_in_bfloat16_is_exported_in_float32(already_traced, tmp_path):
    model, _, changed = already_traced
    half = every_kind().to(torch.bfloat16)
    half.tokenizer = model.tokenizer

    def rounded(graph):
        for found in graph.graph.initializer:
            values = numpy_helper.to_array(found)
            if values.dtype == np.float32 and values.ndim:
                values = torch.from_numpy(values.copy()).bfloat16().float().numpy()
                found.CopyFrom(numpy_helper.from_array(values, found.name))

    changed(rounded)
    record = export_onnx(half, tmp_path / "out")
    assert record.float32.random_texts["sentence_embedding"].is_allowed
    assert half.dtype == torch.bfloat16


@pytest.mark.slow
def test_int8_is_smaller_and_says_that_scores_were_not_checked_where_they_were_not(already_traced, tmp_path, caplog):
    model, _, _ = already_traced
    record = export_onnx(model, tmp_path / "out", quantize="int8")
    assert record.int8.size < record.float32.size
    assert record.int8.size == (tmp_path / "out" / "model.onnx").stat().st_size
    assert record.int8.in_float == ()
    found = record.int8.random_texts["sentence_embedding"]
    assert not found.is_allowed, "or it is not quantised"
    assert found.max_difference < 1.0
    assert caplog.messages == ["The scores of the tasks in int8 were not checked: no validation data were given"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir() if file.suffix == ".onnx") == ["model.onnx"]
    assert not [file for file in (tmp_path / "out").iterdir() if file.is_dir()]


@pytest.mark.slow
def test_the_heads_stay_in_float(already_traced, tmp_path):
    model, _, _ = already_traced
    export_onnx(model, tmp_path / "out", quantize="int8")
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    products = [(node.op_type, node.name.startswith("heads/")) for node in graph.node if "MatMul" in node.op_type]
    assert products.count(("MatMul", True)) == len(HEADS) + 1, "one of them has a hidden layer"
    assert ("MatMulInteger", True) not in products
    assert products.count(("MatMulInteger", False)) == 2 * 6


@pytest.mark.slow
def test_a_task_that_int8_hurts_is_named_after_its_sensitive_layers_were_left_in_float(
    already_traced, tmp_path, caplog, monkeypatch
):
    model, batches, _ = already_traced
    scores = iter([{"topic": 0.8, "mood": 0.5}, {"topic": 0.8, "mood": 0.5}])
    worse = iter([{"topic": 0.70, "mood": 0.5}, {"topic": 0.75, "mood": 0.495}])
    monkeypatch.setattr(trial, "primary_scores", lambda *args: next(scores, None) or next(worse))
    record = export_onnx(model, tmp_path / "out", quantize="int8", validation=batches)
    assert record.hurt == ("topic",)
    assert record.int8.scores == {"topic": 0.75, "mood": 0.495}
    assert len(record.int8.in_float) == 2, "the second layer of each feed-forward block"
    assert caplog.messages == [
        "Task 'topic': int8 takes its f1_macro from 0.8000 to 0.7500, more than the 0.01 that it may. Export it in "
        "float32"
    ]
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert set(record.int8.in_float) <= {node.name for node in graph.node if node.op_type == "MatMul"}
    assert json.loads((tmp_path / "out" / "onnx_export.json").read_text())["hurt"] == ["topic"]


@pytest.mark.slow
def test_sensitive_layers_are_quantised_where_no_task_suffers(already_traced, tmp_path, caplog, monkeypatch):
    model, batches, _ = already_traced
    monkeypatch.setattr(trial, "primary_scores", lambda *args: {"topic": 0.8})
    record = export_onnx(model, tmp_path / "out", quantize="int8", validation=batches)
    assert (record.int8.in_float, record.hurt, caplog.messages) == ((), (), [])


def test_a_folder_with_files_is_not_touched_and_found_before_long_work(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "Trial", None)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="folder to export to must be empty or absent, found files in"):
        export_onnx(every_kind(), tmp_path)
    with pytest.raises(ValueError, match="must be empty or absent, found the file"):
        export_onnx(every_kind(), tmp_path / "mine.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["nothing"]}, r"tasks must name some of the model's tasks .*, found \['nothing'\]"),
        ({"tasks": []}, "found none"),
        ({"quantize": "int4"}, r"quantize must be one of \['int8'\] or None, found 'int4'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_long_work(options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "Trial", None)
    with pytest.raises(ValueError, match=message):
        export_onnx(every_kind(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_tokenizer_is_refused_before_long_work(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "Trial", None)
    model = every_kind()
    model.tokenizer = None
    with pytest.raises(ValueError, match="The model must know its tokenizer"):
        export_onnx(model, tmp_path / "out")


def outputs(logits):
    embedding = np.zeros((len(logits), 2), np.float32)
    return {"sentence_embedding": embedding, "logits_topic": np.array(logits, np.float32)}


def test_deviation_is_the_largest_difference_relative_to_large_values_and_the_same_decisions():
    batch = {"attention_mask": np.ones((2, 1))}
    expected = [outputs([[1.0, 0.0, 0.5], [0.0, 50.0, 0.0]])]
    found = [outputs([[1.0, 0.0, 0.5], [60.0, 50.0, 0.0]])]
    (deviation,) = [deviations(TASKS[:1], [batch], expected, found)["logits_topic"]]
    assert deviation == Deviation(60.0, TOLERANCE * 50, 0.5)
    assert not deviation.is_allowed
    same = deviations(TASKS[:1], [batch], expected, expected)["logits_topic"]
    assert same == Deviation(0.0, TOLERANCE * 50, 1.0)
    assert dataclasses.replace(same, max_difference=TOLERANCE * 50).is_allowed


@pytest.mark.parametrize("wrong", [[[1.0, float("nan"), 0.5]], [[1.0, float("inf"), 0.5]], [[1.0, 0.0]]])
def test_what_is_no_number_or_has_another_shape_does_not_agree(wrong):
    batch = {"attention_mask": np.ones((1, 1))}
    found = deviations(TASKS[:1], [batch], [outputs([[1.0, 0.0, 0.5]])], [outputs(wrong)])["logits_topic"]
    assert found.max_difference == float("inf")
    assert not found.is_allowed


def test_a_score_may_fall_by_its_tolerance():
    topic = TASKS[0]  # macro F1
    assert worsening(topic, 0.8, 0.8 - SCORE_TOLERANCE / 2) == pytest.approx(0.5)
    assert worsening(topic, 0.8, 0.8 - SCORE_TOLERANCE * 2) == pytest.approx(2.0)
    assert worsening(topic, 0.8, 0.9) == 0.0
    assert worsening(topic, 0.8, float("nan")) == float("inf")
    error = dataclasses.replace(TASKS[5], primary_metric="rmse")  # in the user's units, lower is better
    assert worsening(error, 50.0, 50.25) == pytest.approx(0.5)
    assert worsening(error, 50.0, 49.0) == 0.0
    assert worsening(error, 0.0, 1.0) == float("inf")


def test_scores_are_those_of_all_batches_together():
    model = every_kind()
    batches = labelled_batches(model)
    outputs = [trial.torch_outputs(model, model.config.tasks, batch) for batch in batches]
    together = primary_scores(model.config.tasks, batches, outputs)
    from transformers import EvalPrediction

    from hf_multitask import MultiTaskMetrics

    topic = EvalPrediction(
        predictions={"topic": np.concatenate([output["logits_topic"] for output in outputs])},
        label_ids={"topic": np.concatenate([batch["labels"]["topic"] for batch in batches])},
    )
    assert together["topic"] == MultiTaskMetrics(TASKS[:1])(topic)["topic_f1_macro"]
    assert together.keys() == {task.name for task in TASKS}


def test_random_texts_of_an_encoder_without_a_limit_are_as_long_as_those_of_one_that_tells_none():
    model = tiny_model("xlnet")
    model.tokenizer = make_tokenizer()
    model.tokenizer.model_max_length = int(1e30)
    assert model.config.text_config.max_position_embeddings == -1
    assert [batch["input_ids"].shape[1] for batch in random_batches(model)] == [1, 1, 2, 5, 9, 8, 256, 256, 2047]
