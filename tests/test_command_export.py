"""A checkpoint exported by the command line answers as it did, and scores as it did."""

import json
import sys

import pytest
from test_command_evaluate import changed, finished  # noqa: F401 - a fixture
from test_command_predict import refused
from test_script_kinds import folder  # noqa: F401 - a fixture

from hf_multitask import MultiTaskModel, OnnxMultiTask
from hf_multitask.__main__ import main
from hf_multitask.exporting import onnx_export
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.tables import four_digits

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("quantize", [[], ["--quantize", "int8"]])
def test_an_export_scores_and_answers_as_its_checkpoint(finished, tmp_path, capsys, quantize):  # noqa: F811
    checkpoint, output = finished / "output", tmp_path / "out"
    config = str(finished / "config.yaml")
    main(["export", str(checkpoint), str(output), "--format", "onnx", "--data", config, *quantize])
    told = capsys.readouterr().out
    record = json.loads((output / "onnx_export.json").read_text())
    of_the_run = json.loads((checkpoint / "eval_results.json").read_text())
    for task, score in record["scores"].items():
        metric = record["metrics"][task]
        assert score == pytest.approx(of_the_run[f"eval_{task}_{metric}"], abs=1e-6)
        assert f"| {task} " in told
        assert four_digits(score) in told
    model = MultiTaskModel.from_pretrained(checkpoint)
    assert record["scores"].keys() == {task.name for task in model.config.tasks}
    assert ("int8" if quantize else "float32") in told.splitlines()[0]
    assert f"on the {record['validation_rows']} validation rows" in told
    assert (record["int8"] is not None) is bool(quantize)
    text = ("good film", "bad film")
    found, expected = (
        answers(text, top_k=None)
        for answers in (OnnxMultiTask.from_pretrained(str(output)), MultiTaskPipeline(model, device="cpu"))
    )
    assert found.keys() == expected.keys()
    assert found["topic"][0]["label"] == expected["topic"][0]["label"]
    assert found["topic"][0]["score"] == pytest.approx(expected["topic"][0]["score"], abs=0.1 if quantize else 1e-5)


def test_some_tasks_are_exported_without_validation_rows(finished, tmp_path, capsys):  # noqa: F811
    main(["export", str(finished / "output"), str(tmp_path / "out"), "--tasks", "topic", "stars"])
    told = capsys.readouterr().out
    assert "against the model on random texts" in told
    assert "logits_topic" in told
    assert OnnxMultiTask.from_pretrained(str(tmp_path / "out"))("good").keys() == {"topic", "stars"}


@pytest.fixture
def no_export(monkeypatch):
    """Nothing may be exported."""
    monkeypatch.setattr(onnx_export, "export_graph", None)


@pytest.mark.usefixtures("no_export")
def test_what_cannot_be_exported_is_refused_before_long_work(finished, tmp_path, capsys, monkeypatch):  # noqa: F811
    checkpoint, output = str(finished / "output"), str(tmp_path / "out")
    assert "must be empty or absent, found files in" in refused(capsys, "export", checkpoint, checkpoint)
    assert "tasks must name some of the model's tasks" in refused(
        capsys, "export", checkpoint, output, "--tasks", "nothing"
    )
    assert "found none in" in refused(capsys, "export", str(tmp_path), output)

    def another(config):
        name = next(iter(config["datasets"]))
        config["datasets"][name]["targets"]["other"] = next(iter(config["datasets"][name]["targets"].values()))
        config["tasks"]["other"] = None

    data = str(changed(finished, another))
    assert "found ['other']" in refused(capsys, "export", checkpoint, output, "--data", data)

    data = ("--data", finished / "config.yaml", "--seed", "7")
    message = refused(capsys, "export", checkpoint, output, *data)
    assert "its validation rows must be cut as in the model's run, found others, by seed 7 (in the run 42)" in message
    assert "need --data, found --seed 7" in refused(capsys, "export", checkpoint, output, "--seed", "7", code=2)

    monkeypatch.setitem(sys.modules, "hf_multitask.exporting.onnx_export", None)
    assert 'pip install "hf_multitask[onnx]"' in refused(capsys, "export", checkpoint, output)
    assert not (tmp_path / "out").exists()
