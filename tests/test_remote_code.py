"""A checkpoint opens where this package is not, with the same logits bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_bert
from safetensors.torch import load_file

from hf_multitask import MultiTaskConfig, MultiTaskModel

MODELING = Path(__file__).parents[1] / "hf_multitask" / "modeling"

STRANGER = """
import sys
sys.modules["hf_multitask"] = None  # importing it raises ImportError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoTokenizer, pipeline

folder, again = sys.argv[1:]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules."), type(model)
assert [task.name for task in config.tasks] == ["topic", "sentiment"]
inputs = tokenizer(["good film", "the council says no"], padding=True, return_tensors="pt")
answers = pipeline(model=folder, trust_remote_code=True)(["good film", ("the council", "says no")], top_k=None)
assert [sorted(answer) for answer in answers] == [["sentiment", "topic"]] * 2, answers
save_file({k: v.contiguous() for k, v in model(**inputs).logits.items()}, again + "-logits.safetensors")
model.add_task({"name": "urgent", "labels": ["no", "yes"]})
model.remove_task("urgent")
model.save_pretrained(again)
tokenizer.save_pretrained(again)
"""


def stranger(folder, again):
    environment = {**os.environ, "HF_HOME": str(folder.parent / "cache"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", STRANGER, str(folder), str(again)],
        env=environment,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(f"{again}-logits.safetensors")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("remote") / "model"
    model = tiny_bert()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    inputs = tokenizer(["good film", "the council says no"], padding=True, return_tensors="pt")
    return folder, {name: values.detach() for name, values in model(**inputs).logits.items()}


@pytest.mark.slow
def test_a_stranger_gets_the_same_logits_and_can_save_and_load_again(checkpoint):
    folder, expected = checkpoint
    first = stranger(folder, folder.parent / "again")
    second = stranger(folder.parent / "again", folder.parent / "once_more")
    for logits in (first, second):
        assert logits.keys() == expected.keys()
        assert all(torch.equal(logits[name], expected[name]) for name in expected)


def test_the_folder_holds_all_of_modeling_and_no_other_code(checkpoint):
    folder, _ = checkpoint
    shipped = {path.name for path in folder.glob("*.py")}
    assert shipped == {path.name for path in MODELING.glob("*.py")} - {"__init__.py"}
    for name in shipped:
        assert (folder / name).read_bytes() == (MODELING / name).read_bytes()


def test_the_configuration_points_at_the_code(checkpoint):
    auto_map = json.loads((checkpoint[0] / "config.json").read_text())["auto_map"]
    assert auto_map == {
        "AutoConfig": "configuration_multitask.MultiTaskConfig",
        "AutoModel": "modeling_multitask.MultiTaskModel",
    }


def test_the_weights_are_safetensors_alone(checkpoint):
    suffixes = {path.suffix for path in checkpoint[0].iterdir()}
    assert ".safetensors" in suffixes
    assert not suffixes & {".bin", ".pt", ".pth", ".pkl"}


def test_with_the_package_loading_uses_its_classes(checkpoint):
    from transformers import AutoConfig, AutoModel

    assert type(AutoModel.from_pretrained(checkpoint[0], trust_remote_code=True)) is MultiTaskModel
    assert type(AutoConfig.from_pretrained(checkpoint[0])) is MultiTaskConfig
