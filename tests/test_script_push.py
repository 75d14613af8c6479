"""The script with --push_to_hub: what it pushes is the whole run, and a push that fails is its last word."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from conftest import WORDS
from hub_jobs import EXPECTED, assert_same, assert_without_token, load_elsewhere, local_logits, start
from hub_server import FOR_EVER, TOKEN, serving
from huggingface_hub import ModelCard
from test_script import SCRIPT, write_rows

pytestmark = pytest.mark.slow

IMPATIENT = """
import sys
from hf_multitask.commands.train import train
from hf_multitask.modeling import hub
hub.WAITS = (0.0,)
train(sys.argv[1:])
"""
SECRET_ROW = "a row that nobody should see"


hub = pytest.fixture(scope="module")(serving)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, backbone_folder):
    """A working folder with a dataset, one of whose rows cannot be used, and a configuration for it."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "topics").mkdir()
    labels = ("News", "Opinion", "Fun")
    for split, count in (("train", 24), ("validation", 6), ("test", 6)):
        texts = [" ".join(WORDS[(i + k) % len(WORDS)] for k in range(3 + i % 4)) for i in range(count)]
        rows = [{"text": text, "kind": labels[i % 3]} for i, text in enumerate(texts)]
        if split == "train":
            rows.append({"text": "they win", "kind": SECRET_ROW})
        write_rows(folder / "topics" / f"{split}.csv", rows)
    config = {
        "backbone": backbone_folder,
        "invalid_rows": "skip",
        "tasks": {"topic": {"labels": list(labels)}},
        "datasets": {"topics": {"path": "topics", "text": "text", "targets": {"topic": "kind"}}},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 8, "use_cpu": True},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return folder


def launch(hub, folder: Path, *words: str, program: tuple[str, ...] = (str(SCRIPT),)):
    words = ("config.yaml", "--push_to_hub", "--hub_token", TOKEN, *words)
    return start(hub, folder / "home", sys.executable, *program, *words)


@pytest.fixture(scope="module")
def pushed(hub, folder):
    done = launch(hub, folder, "--output_dir", "run", "--hub_model_id", "tester/script", "--hub_always_push")
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def commits(hub, pushed):
    return hub.repos["tester/script"].commits[1:]


def test_every_commit_of_the_script_is_complete(commits):
    assert [commit.title for commit in commits] == [
        "Training in progress, epoch 1",
        "Training in progress, epoch 2",
        "End of training",
    ]
    for commit in commits:
        assert commit.files.keys() >= EXPECTED


def test_the_last_commit_is_the_runs_folder_without_checkpoints_and_rows(folder, commits):
    run = folder / "run"
    local = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rows = local.pop("skipped_rows.csv")
    assert SECRET_ROW in rows.decode()
    local = {name: content for name, content in local.items() if not name.startswith("checkpoint-")}
    assert "figures/losses.png" in local
    assert {name: file.content for name, file in commits[-1].files.items()} == {
        **local,
        ".gitattributes": commits[-1].files[".gitattributes"].content,
    }


def test_no_row_that_was_left_out_is_pushed(hub, commits):
    assert [place for place, content in hub.stored().items() if SECRET_ROW.encode() in content] == []


def test_cards_tell_what_is_known_of_the_data_and_the_results_so_far(folder, commits):
    log = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    for epoch, commit in enumerate(commits[:2], start=1):
        text = commit.files["README.md"].content.decode()
        assert "**Training is under way**: this is step" in text
        assert "| topic: News " in text
        line = next(line for line in log if line["epoch"] == epoch and "eval_loss" in line)
        found = {result.metric_type: result.metric_value for result in ModelCard(text).data.eval_results}
        assert found["accuracy"] == pytest.approx(line["eval_topic_accuracy"], abs=5e-5)
    text = commits[-1].files["README.md"].content.decode()
    assert "under way" not in text
    test = json.loads((folder / "run" / "test_results.json").read_text())
    found = {result.metric_type: result.metric_value for result in ModelCard(text).data.eval_results}
    assert found["accuracy"] == pytest.approx(test["test_topic_accuracy"], abs=5e-5)


def test_a_stranger_opens_the_first_and_the_last_commit_of_the_script(hub, folder, commits, tokenizer):
    places = [f"tester/script@{commit.oid}" for commit in (commits[0], commits[-1])]
    first, last = load_elsewhere(hub, folder / "elsewhere", *places)
    checkpoints = sorted((folder / "run").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert_same(first, local_logits(checkpoints[0], tokenizer))
    assert_same(last, local_logits(folder / "run", tokenizer))


def test_the_scripts_token_is_in_nothing_that_is_kept_or_said(hub, folder, pushed):
    assert_without_token(hub, folder / "run", pushed)


def test_a_last_push_that_fails_ends_the_script_with_a_message_when_all_is_saved(hub, folder, commits, tokenizer):
    hub.fail("/tester/failing/commit/", times=FOR_EVER)
    words = ("--output_dir", "failing", "--hub_model_id", "tester/failing")
    done = launch(hub, folder, *words, program=("-c", IMPATIENT))
    assert done.returncode == 1
    assert "The model, its code and its card are in failing" in done.stdout
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message.startswith("error: The Hub must take what is pushed, found: ")
    assert "The run is saved in failing; push it later: hf upload tester/failing failing . --exclude" in message
    assert "Traceback" not in done.stderr
    names = {path.name for path in (folder / "run").iterdir()}
    assert {path.name for path in (folder / "failing").iterdir()} == names
    assert_same(local_logits(folder / "failing", tokenizer), local_logits(folder / "run", tokenizer))


def test_a_hub_that_refuses_ends_the_script_before_it_trains(hub, folder):
    hub.fail("/repos/create", status=403)
    done = launch(hub, folder, "--output_dir", "refused", "--hub_model_id", "other/model")
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: The Hub must take what ")]) == 1
    assert not (folder / "refused").exists()
