"""What is pushed is complete at every moment: a stranger opens any commit, and finds its results."""

import json
from pathlib import Path

import pytest
from hub_jobs import (
    EXPECTED,
    assert_same,
    assert_without_token,
    load_elsewhere,
    local_logits,
    push,
)
from hub_server import TOKEN, serving
from huggingface_hub import ModelCard

pytestmark = pytest.mark.slow

STEPS = ("Training in progress, step 4", "Training in progress, step 8")
LAST = "End of training"


hub = pytest.fixture(scope="module")(serving)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("push") / "run"


@pytest.fixture(scope="module")
def pushed(hub, folder):
    """A training of 8 steps with two checkpoints, pushed by the Trainer all along and by the model in the end."""
    arguments = {"hub_token": TOKEN, "hub_strategy": "checkpoint"}
    done = push(hub, folder, arguments=arguments, model_push="tester/second")
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def commits(hub, pushed):
    return {commit.title: commit for commit in hub.repos["tester/first"].commits}


@pytest.fixture(scope="module")
def elsewhere(hub, folder, commits):
    """The logits of both repositories' commits, as a stranger computes them."""
    places = [f"tester/first@{commits[title].oid}" for title in (*STEPS, LAST)]
    names = (*STEPS, LAST, "main", "second")
    places += ["tester/first@main", "tester/second@main"]
    return dict(zip(names, load_elsewhere(hub, folder.parent / "elsewhere", *places), strict=True))


def test_every_commit_is_complete(commits):
    with_states = [title for step in STEPS for title in (step, f"{step}, checkpoint")]
    assert list(commits) == ["initial commit", *with_states, LAST]
    for title in (*with_states, LAST):
        files = commits[title].files
        assert files.keys() >= EXPECTED, title
        assert files["model.safetensors"].large
        assert json.loads(files["config.json"].content)["auto_map"].keys() == {"AutoConfig", "AutoModel"}
        assert not [name for name in files if "/" not in name and name.endswith((".bin", ".pt", ".pth", ".pkl"))]


def test_a_stranger_opens_the_commit_of_a_checkpoint_with_the_logits_of_that_checkpoint(folder, elsewhere, tokenizer):
    for title, checkpoint in zip(STEPS, ("checkpoint-4", "checkpoint-8"), strict=True):
        assert_same(elsewhere[title], local_logits(folder / checkpoint, tokenizer))
    assert (elsewhere[STEPS[0]]["topic"] != elsewhere[STEPS[1]]["topic"]).any()


def test_a_stranger_opens_the_last_commit_with_the_logits_of_the_run(folder, elsewhere, tokenizer):
    for place in (LAST, "main"):
        assert_same(elsewhere[place], local_logits(folder, tokenizer))


def test_each_card_has_the_results_of_its_moment(folder, commits):
    log = json.loads((folder / "checkpoint-8" / "trainer_state.json").read_text())["log_history"]
    scores = {line["step"]: line for line in log if "eval_loss" in line}
    for title, step in ((STEPS[0], 4), (STEPS[1], 8), (LAST, 8)):
        text = commits[title].files["README.md"].content.decode()
        found = {(r.task_name, r.metric_type): r.metric_value for r in ModelCard(text).data.eval_results}
        assert {task for task, _ in found} == {"topic", "sentiment"}
        for (task, metric), value in found.items():
            assert value == pytest.approx(scores[step][f"eval_{task}_{metric}"], abs=5e-5)
        assert ("Training is under way" in text) == (title != LAST)


def test_the_last_checkpoint_is_on_the_hub_byte_by_byte(folder, commits):
    for title, name in zip(STEPS, ("checkpoint-4", "checkpoint-8"), strict=True):
        files = commits[f"{title}, checkpoint"].files
        found = {path: file.content for path, file in files.items() if path.startswith("last-checkpoint/")}
        local = {f"last-checkpoint/{path.name}": path.read_bytes() for path in (folder / name).iterdir()}
        assert found == local


def test_a_model_pushes_itself_complete_with_the_card_of_its_training(hub, folder, elsewhere, tokenizer):
    (commit,) = hub.repos["tester/second"].commits[1:]
    assert commit.files.keys() >= EXPECTED
    assert_same(elsewhere["second"], local_logits(folder, tokenizer))
    card = ModelCard(commit.files["README.md"].content.decode())
    assert {result.task_name for result in card.data.eval_results} == {"topic", "sentiment"}
    assert "mine" in card.data.tags


def test_large_files_were_the_bytes_that_they_were_said_to_be_and_sent_once(hub, pushed):
    assert hub.wrong_uploads == []
    uploads = [request.path for request in hub.requests if request.method == "PUT"]
    assert len(uploads) == len(set(uploads)) == 2


def test_the_token_is_in_nothing_that_is_kept_or_said(hub, folder, pushed):
    assert_without_token(hub, folder, pushed)
    writes = [request for request in hub.requests if request.method == "POST"]
    assert writes
    assert {request.authorization for request in writes} == {f"Bearer {TOKEN}"}
    assert {request.authorization for request in hub.requests if request.method == "PUT"} == {None}


def test_no_request_was_refused(hub, elsewhere):
    assert {request.status for request in hub.requests if "/resolve/" not in request.path} == {200}


def test_a_push_that_is_slower_than_training_is_of_the_checkpoint_that_it_began_with(hub, tmp_path, commits):
    hub.slow = ("/slow/preupload/", 4.0)  # the checkpoint is removed long before, and training has ended
    arguments = {"hub_model_id": "tester/slow", "save_total_limit": 1}
    done = push(hub, tmp_path / "run", arguments=arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / "run" / "checkpoint-4").exists()
    found = {commit.title: commit.files["model.safetensors"] for commit in hub.repos["tester/slow"].commits[1:]}
    assert list(found) == [*STEPS, LAST]
    for title in STEPS:
        assert found[title] == commits[title].files["model.safetensors"]
    assert hub.wrong_uploads == []
