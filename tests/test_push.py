"""What is pushed is complete at every moment: a stranger opens any commit and finds its results."""

from pathlib import Path

import pytest
from hub_jobs import EXPECTED, push
from hub_server import TOKEN, HubServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("push") / "run"


@pytest.fixture(scope="module")
def pushed(hub, folder):
    """A training of 8 steps with two checkpoints, pushed by the Trainer all along and by the model in the end."""
    arguments = {"hub_token": TOKEN, "hub_strategy": "checkpoint", "save_total_limit": 1}
    done = push(hub, folder, arguments=arguments, model_push="tester/second")
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def commits(hub, pushed):
    return {commit.title: commit for commit in hub.repos["tester/first"].commits}


STEPS = ("Training in progress, step 4", "Training in progress, step 8", "End of training")


def test_every_commit_is_complete(commits):
    assert list(commits) == ["initial commit", *STEPS]
    for title in STEPS:
        assert commits[title].files.keys() >= EXPECTED, title
        assert commits[title].files["model.safetensors"].large
