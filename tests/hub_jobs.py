"""Processes of a user who pushes to a [`HubServer`], and of a stranger who loads from it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from hub_server import TOKEN
from safetensors.torch import load_file

from hf_multitask import MultiTaskModel

TESTS = Path(__file__).parent
TEXTS = ["good film", "the council says no"]

EXPECTED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
EXPECTED |= {"modules.json", "config_sentence_transformers.json"}
EXPECTED |= {path.name for path in (TESTS.parent / "hf_multitask" / "modeling").glob("*.py")} - {"__init__.py"}
"""Files without which a push is not complete. What else a checkpoint is opened by belongs here."""

STRANGER = f"""
import sys
sys.modules["hf_multitask"] = None  # importing it raises ImportError
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, pipeline

folder, *wanted = sys.argv[1:]
for number, place in enumerate(wanted):
    name, revision = place.split("@")
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=True)
    model = AutoModel.from_pretrained(name, revision=revision, trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    inputs = tokenizer({TEXTS}, padding=True, return_tensors="pt")
    logits = {{task: values.contiguous() for task, values in model(**inputs).logits.items()}}
    save_file(logits, f"{{folder}}/{{number}}.safetensors")
    answers = pipeline(model=name, revision=revision, trust_remote_code=True)({TEXTS})
    assert [set(answer) for answer in answers] == [set(logits)] * {len(TEXTS)}, answers
"""


def environment(hub, home: Path) -> dict[str, str]:
    """Of a process that may reach this hub, and no other."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",  # the other way of uploading needs a server of its own
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


def start(hub, home: Path, *command: str) -> subprocess.CompletedProcess:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=home.parent,
        env=environment(hub, home),
        stdin=subprocess.DEVNULL,  # nobody answers a question
        capture_output=True,
        text=True,
        timeout=300,
    )


def push(hub, folder: Path, **options) -> subprocess.CompletedProcess:
    """Run push_job.py in a new folder."""
    options["arguments"] = {"hub_model_id": "tester/first", **options.get("arguments", {})}
    command = [sys.executable, str(TESTS / "push_job.py"), str(folder), json.dumps(options)]
    return start(hub, folder.parent / "home", *command)


def load_elsewhere(hub, folder: Path, *places: str) -> list[dict[str, torch.Tensor]]:
    """The logits of `name@revision`s, in a process in which this package cannot be imported."""
    folder.mkdir()
    done = start(hub, folder / "home", sys.executable, "-c", STRANGER, str(folder), *places)
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(folder / f"{number}.safetensors") for number in range(len(places))]


def local_logits(folder: Path, tokenizer) -> dict[str, torch.Tensor]:
    """The logits of a checkpoint on the disk."""
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    return {task: values.detach() for task, values in MultiTaskModel.from_pretrained(folder)(**inputs).logits.items()}


def assert_without_token(hub, folder: Path, done: subprocess.CompletedProcess) -> None:
    """The token is in no file of a run, in nothing that it said, and in nothing that it pushed."""
    places = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    places |= hub.stored() | {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert len(places) > 50
    assert [place for place, content in places.items() if TOKEN.encode() in content] == []


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[task], expected[task]) for task in expected)
