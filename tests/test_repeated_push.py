"""A repository that is pushed to again, over real HTTP: nothing of an earlier push, and all of its owner, stays."""

import json
import sys
from pathlib import Path

import pytest
from hub_jobs import start
from hub_server import File, HubServer, Repo

from hf_multitask.modeling.hub import MARK

pytestmark = pytest.mark.slow

JOB = Path(__file__).with_name("repeated_push_job.py")

PUSHES = ("shards_over_one_file", "a_whole_model_over_adapters", "branches")
"""Functions of the job, each of which pushes to the repository of its name."""

CARDS = {"written": "---\nlicense: mit\n---\nMy own words.\n", "a_head_alone": "---\nlicense: mit\n---\n"}
BY = ("by_trainer", "by_model")


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        for card, text in CARDS.items():
            for by in BY:
                repo = server.repos[f"tester/{card}-{by}"] = Repo()
                repo.add("a card", {"README.md": File(text.encode(), large=False)})
        yield server


@pytest.fixture(scope="module")
def failures(hub, tmp_path_factory):
    """What went wrong, by repository; all is pushed by one process, for it takes seconds to start."""
    parts = {f"tester/{name}": name for name in PUSHES} | {f"tester/{card}-{by}": by for card in CARDS for by in BY}
    folder = tmp_path_factory.mktemp("pushes")
    done = start(hub, folder / "home", sys.executable, "-W", "ignore", str(JOB), json.dumps(parts))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "failures.json").read_text())


@pytest.mark.parametrize("name", PUSHES)
def test_what_is_loaded_is_what_was_pushed_last(hub, failures, name):
    assert not failures[f"tester/{name}"]
    repo = hub.repos[f"tester/{name}"]
    if name == "branches":
        assert list(repo.commits[-1].files) == [".gitattributes"], "main is left alone"
    for commit in repo.commits:
        adapters = {"adapter_config.json", "adapter_model.safetensors"} & commit.files.keys()
        assert not (adapters and [file for file in commit.files if file.startswith("model")])


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("by", BY)
def test_a_card_on_the_hub_stays_where_somebody_has_written_it(hub, failures, card, by):
    name = f"tester/{card}-{by}"
    assert not failures[name]
    files = hub.repos[name].commits[-1].files
    assert "model.safetensors" in files
    text = files["README.md"].content.decode()
    if card == "written":
        assert "My own words." in text
        assert MARK not in text
    else:
        assert MARK in text
