"""A repository that is pushed to again, over real HTTP: nothing of an earlier push, and all of its owner, stays."""

import sys

import pytest
from hub_jobs import start
from hub_server import File, HubServer

from hf_multitask.modeling.hub import MARK

pytestmark = pytest.mark.slow

JOB = """
from pathlib import Path
import huggingface_hub.constants  # before conftest, which lets no test reach a hub
import torch
from conftest import make_tokenizer, tiny_bert
from test_trainer import trainer
from hf_multitask import MultiTaskModel
from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training.adapters import add_lora, merge

def model(seed):
    torch.manual_seed(seed)
    found = tiny_bert()
    found.tokenizer = make_tokenizer()
    return found

def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[2, 3, 4]])).logits["topic"]

def pushed(place, **where):
    return logits(MultiTaskModel.from_pretrained(place, **where))
"""

PUSHES = {
    "shards_over_one_file": """
model(0).push_to_hub("tester/a")
model(1).push_to_hub("tester/a", max_shard_size="8KB")
assert torch.equal(pushed("tester/a"), logits(model(1)))
model(0).push_to_hub("tester/a")
assert torch.equal(pushed("tester/a"), logits(model(0)))
""",
    "a_whole_model_over_adapters": """
adapted = add_lora(model(0), LoraSettings())
job = trainer(Path("run"), make_tokenizer(), adapted, push_to_hub=True, hub_model_id="tester/a")
job.train()
job.push_to_hub()
merged = merge(job.model)
merged.push_to_hub("tester/a")
torch.testing.assert_close(pushed("tester/a"), logits(merged))
""",
    "branches": """
job = trainer(Path("run"), make_tokenizer(), model(0), push_to_hub=True, hub_model_id="tester/a", hub_revision="dev")
job.train()
job.push_to_hub()
assert torch.equal(pushed("tester/a", revision="dev"), logits(job.model))
model(1).push_to_hub("tester/a", revision="dev")
assert torch.equal(pushed("tester/a", revision="dev"), logits(model(1)))
""",
}


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


def run(hub, folder, code):
    path = folder / "job.py"
    path.write_text(JOB + code)
    done = start(hub, folder / "home", sys.executable, "-W", "ignore", str(path))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(autouse=True)
def _helpers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))  # for the job's imports of these tests' helpers


@pytest.mark.parametrize("name", PUSHES)
def test_what_is_loaded_is_what_was_pushed_last(hub, tmp_path, name):
    run(hub, tmp_path, PUSHES[name])
    repo = hub.repos["tester/a"]
    if name == "branches":
        assert list(repo.commits[-1].files) == [".gitattributes"], "main is left alone"
    for commit in repo.commits:
        adapters = {"adapter_config.json", "adapter_model.safetensors"} & commit.files.keys()
        assert not (adapters and [file for file in commit.files if file.startswith("model")])


@pytest.mark.parametrize("text", ["---\nlicense: mit\n---\nMy own words.\n", "---\nlicense: mit\n---\n"])
@pytest.mark.parametrize("by", ["trainer", "model"])
def test_a_card_on_the_hub_stays_where_somebody_has_written_it(hub, tmp_path, text, by):
    training = """
job = trainer(Path("run"), make_tokenizer(), model(0), push_to_hub=True, hub_model_id="tester/a")
job.train()
"""
    code = {"trainer": training + "job.push_to_hub()", "model": "model(0).push_to_hub('tester/a')"}[by]
    run(hub, tmp_path, "from huggingface_hub import create_repo\ncreate_repo('tester/a')")
    repo = hub.repos["tester/a"]
    repo.add("a card", repo.commits[-1].files | {"README.md": File(text.encode(), large=False)})
    run(hub, tmp_path, code)
    files = repo.commits[-1].files
    assert "model.safetensors" in files
    card = files["README.md"].content.decode()
    if "own words" in text:
        assert "My own words." in card
        assert MARK not in card
    else:
        assert MARK in card
