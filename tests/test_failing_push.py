"""A Hub that fails for a moment costs nothing; one that fails for good costs no run, and says what to do."""

import shlex
import sys

import pytest
from hub_jobs import EXPECTED, assert_without_token, push, start
from hub_server import FOR_EVER, serving

pytestmark = pytest.mark.slow

BIG = {"vocab_size": 40_000, "hidden_size": 64}
"""Weights of 10 MB: more than the network takes before the other side has read anything."""


hub = pytest.fixture(serving)


def commits(hub):
    return [commit.title for commit in hub.repos["tester/first"].commits]


def saved(folder):
    """What a stranger needs, as it is on the disk; test_push.py opens what is pushed."""
    return {name: (folder / name).read_bytes() for name in EXPECTED}


ALL = ["initial commit", "Training in progress, step 4", "Training in progress, step 8", "End of training"]


def test_a_hub_that_fails_once_on_every_way_gets_everything_all_the_same(hub, tmp_path):
    for part in ("/repos/create", "/validate-yaml", "/tree/main", "/preupload/", "/objects/batch", "/commit/"):
        hub.fail(part)
    hub.fail("PUT /lfs/")
    hub.cut("PUT /lfs/")
    done = push(hub, tmp_path / "run", model=BIG, patience=[0, 0, 0])
    assert done.returncode == 0, done.stderr[-3000:]
    assert commits(hub) == ALL
    assert hub.wrong_uploads == []
    answers = (200, 404)  # there is no card yet
    failed = [(r.method, r.path.split("/")[-2:]) for r in hub.requests if r.status not in answers]
    assert len(failed) == 8
    files = hub.repos["tester/first"].commits[-1].files
    assert len(files["model.safetensors"].content) > 8_000_000
    assert {name: files[name].content for name in EXPECTED} == saved(tmp_path / "run")


def test_a_commit_whose_answer_is_lost_is_made_once(hub, tmp_path):
    hub.lose_answer("/commit/")
    done = push(hub, tmp_path / "run", arguments={"hub_strategy": "end"}, patience=[0])
    assert done.returncode == 0, done.stderr[-3000:]
    assert commits(hub) == ["initial commit", "End of training"]


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_a_hub_that_fails_for_good_costs_no_run_and_its_folder_can_be_pushed_later(hub, tmp_path, fault):
    if fault == "503":
        hub.fail("/commit/", times=FOR_EVER)
    else:
        hub.cut(times=FOR_EVER)
    folder = tmp_path / "a run"
    done = push(hub, folder, model=BIG, patience=[0])
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "trained" in done.stdout
    for step in (4, 8):
        assert f"Training goes on, and {folder / f'checkpoint-{step}'} is complete." in said
    (last,) = [line for line in done.stderr.splitlines() if line.startswith("OSError: The Hub must take what is ")]
    assert f"The run is saved in {folder}; push it later: hf upload tester/first " in last
    if fault == "cut":
        assert "Error while uploading 'model.safetensors' to the Hub" in last
    assert {path.name for path in folder.iterdir()} == {*EXPECTED, "checkpoint-4", "checkpoint-8"}
    assert commits(hub) == ["initial commit"]

    hub.heal()
    command = shlex.split(last.partition("later: ")[2])
    later = start(hub, tmp_path / "home", sys.executable, "-m", "huggingface_hub.cli.hf", *command[1:])
    assert later.returncode == 0, later.stderr[-3000:]
    files = hub.repos["tester/first"].commits[-1].files
    assert files.keys() == {*EXPECTED, ".gitattributes"}
    assert {name: files[name].content for name in EXPECTED} == saved(folder)
    assert_without_token(hub, folder, done)


def test_a_token_that_may_not_write_ends_the_run_before_it_trains(hub, tmp_path):
    secret = "hf_wrong_0123456789"
    done = push(hub, tmp_path / "run", arguments={"hub_token": secret})
    assert done.returncode != 0
    assert "trained" not in done.stdout
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("OSError: The Hub must take what is ")]
    assert "401" in message
    assert "Log in (`hf auth login`) with a token that may write there" in message
    assert secret not in done.stdout + done.stderr
    assert "tester/first" not in hub.repos
