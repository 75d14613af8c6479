"""What is told of a checkpoint is what it is; nothing of it is run or loaded."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import make_tokenizer, tiny_bert
from huggingface_hub import EvalResult, HfApi, ModelCardData
from huggingface_hub.utils import SafetensorsFileMetadata, TensorInfo
from records import TASKS, record
from safetensors import safe_open
from test_command_predict import refused

from hf_multitask import MultiTaskModel
from hf_multitask.__main__ import main
from hf_multitask.commands import info
from hf_multitask.opening import read_config
from hf_multitask.publishing.model_card import render_model_card


@pytest.fixture
def model():
    made = tiny_bert(tasks=TASKS)
    made.tokenizer = make_tokenizer()
    made.config.prompts, made.config.normalize = {"query": "ask: "}, True
    return made


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "run", max_shard_size="10KB")
    return tmp_path / "run"


def told_of(folder, capsys):
    main(["info", str(folder)])
    return capsys.readouterr().out


def row(told, first):
    """The other cells of the table's row that begins so."""
    [line] = [line for line in told.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_parameters_of_each_part_are_those_of_the_model(folder, model, capsys):
    assert len(list(folder.glob("model*.safetensors"))) > 1, "in several files"
    told = told_of(folder, capsys)
    assert row(told, "total")[0] == f"{model.num_parameters():,}"
    assert row(told, "encoder")[0] == f"{sum(p.numel() for p in model.backbone.parameters()):,}"
    for task, head in model.heads.items():
        assert row(told, f"head {task}")[0] == f"{sum(p.numel() for p in head.parameters()):,}"
    assert f"{4 * model.num_parameters() / 1e6:,.1f} MB of F32" in told


def test_encoder_and_tasks_are_those_of_the_configuration(folder, capsys):
    told = told_of(folder, capsys)
    for line in (
        "encoder:        bert",
        "layers:         2",
        "embedding size: 16",
        "pooling:        mean",
        "normalised:     yes",
        "prompts:        query: 'ask: '",
        "read of a text: 64 tokens",
    ):
        assert f"{line}\n" in told
    assert row(told, "stars") == ["ordinal", "1, 2, 3", "1", "-", "-"]
    assert row(told, "mood")[2] == "0.5"


def test_calibration_and_many_labels_are_told_in_short(tmp_path, capsys):
    many = [f"l{i:02}" for i in range(30)]
    kind = "multi_label_classification"
    task = {"name": "many", "problem_type": kind, "labels": many, "temperature": 2.5, "thresholds": [0.25] * 30}
    tiny_bert(tasks=[task]).save_pretrained(tmp_path / "run")
    _, labels, _, temperature, thresholds = row(told_of(tmp_path / "run", capsys), "many")
    assert labels == f"{', '.join(many[:12])} (30 in all)"
    assert temperature == "2.5"
    assert thresholds.endswith("0.25 (30 in all)")


def test_scores_are_those_of_the_results_or_else_of_the_card(folder, capsys):
    run = record()
    (folder / "README.md").write_text(render_model_card(run), encoding="utf-8")
    told = told_of(folder, capsys)
    [card] = [line for line in told.splitlines() if re.match(r"\| topic +\| test +\| Macro F1", line)]
    assert str(run.results["test"]["test_topic_f1_macro"]) in card
    assert "base model:     someone/some-bert" in told
    (folder / "test_results.json").write_text(json.dumps(run.results["test"]))
    told = told_of(folder, capsys)
    assert "scores of the card" not in told
    assert f"{run.results['test']['test_mood_accuracy']:.4f}" in told
    assert "validation scores" not in told


def test_a_card_of_another_hand_does_no_harm(folder, capsys):
    results = [EvalResult("text-classification", "t", "d", "accuracy", 0.5)]
    header = ModelCardData(model_name="m", eval_results=results)
    (folder / "README.md").write_text(f"---\n{header}\n---\n")
    assert re.search(r"\| - +\| +- \| accuracy \| +0.5 \|", told_of(folder, capsys))
    (folder / "README.md").write_text("no header")
    assert "scores of the card" not in told_of(folder, capsys)


def test_the_training_is_that_of_the_trainers_files(folder, capsys):
    assert "steps:" not in told_of(folder, capsys)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 24, "best_global_step": 12}))
    (folder / "train_results.json").write_text(json.dumps({"epoch": 2.0, "train_runtime": 1234.6, "train_loss": 0.25}))
    told = told_of(folder, capsys)
    for line in ("steps:          24", "epochs:         2", "time:           1,235 s", "best step:      12"):
        assert f"{line}\n" in told


def test_ways_that_lack_their_files_are_closed(folder, capsys):
    def ways():
        told = told_of(folder, capsys)
        return {line.split("(")[0].split()[1]: line.split()[0] for line in told.split("It opens as\n")[1].splitlines()}

    names = ["MultiTaskModel.from_pretrained", "AutoModel.from_pretrained", "pipeline", "SentenceTransformer", "ONNX"]
    assert ways() == dict(zip(names, ["yes", "yes", "yes", "yes", "no"], strict=True))
    (folder / "modules.json").unlink()
    (folder / "model.onnx").touch()
    assert ways() == dict(zip(names, ["yes", "yes", "yes", "no", "yes"], strict=True))
    (folder / "tokenizer_config.json").unlink()
    assert ways()["pipeline"] == "no"
    (folder / "modeling_multitask.py").unlink()
    assert ways()["AutoModel.from_pretrained"] == "no"


def test_no_code_of_the_checkpoint_runs_and_no_weights_are_loaded(folder, capsys, monkeypatch):
    for path in folder.glob("*.py"):
        path.write_text("raise RuntimeError('run')")
    monkeypatch.setattr(MultiTaskModel, "from_pretrained", None)
    assert "| total " in told_of(folder, capsys)


def test_a_checkpoint_on_the_hub_is_told_as_one_in_a_folder(folder, capsys, monkeypatch):
    """Of the Hub, its client stands in; only headers of weights, and small files, are asked for."""

    def metadata(self, repo_id):
        files = {}
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "np") as file:
                parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                tensors = {name: TensorInfo(p.get_dtype(), p.get_shape(), (0, 0)) for name, p in parts.items()}
            files[path.name] = SafetensorsFileMetadata(metadata={}, tensors=tensors)
        return SimpleNamespace(files_metadata=files)

    def download(repo_id, allow_patterns):
        assert not any(Path("model-00001-of-00002.safetensors").match(pattern) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(HfApi, "get_safetensors_metadata", metadata)
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, repo_id: [path.name for path in folder.iterdir()])
    monkeypatch.setattr(info, "snapshot_download", download)
    monkeypatch.setattr(info, "read_config", lambda name: read_config(str(folder)))
    assert told_of("someone/model", capsys) == told_of(folder, capsys).replace(str(folder), "someone/model")


def test_what_is_no_checkpoint_is_refused(folder, tmp_path, capsys, backbone_folder):
    assert "must have a config.json" in refused(capsys, "info", tmp_path)
    assert "must be 'hf_multitask', found 'bert'" in refused(capsys, "info", backbone_folder)
    next(folder.glob("model*.safetensors")).write_bytes(b"cut off")
    assert "must be readable safetensors" in refused(capsys, "info", folder)
