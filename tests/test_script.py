"""The script through the real command line, from a folder with a space in its name."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command import in_process
from conftest import WORDS
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoTokenizer

SCRIPT = Path(__file__).parents[1] / "training_scripts" / "run_multitask.py"
pytestmark = pytest.mark.slow


def write_rows(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, backbone_folder):
    """A working folder with two datasets of disjoint labels and a configuration for them."""
    folder = tmp_path_factory.mktemp("a folder") / "with a space"
    for name, column, labels in (("topics", "kind", ("News", "Opinion", "Fun")), ("moods", "mood", ("bad", "good"))):
        (folder / name).mkdir(parents=True)
        for split, count in (("train", 24), ("validation", 6), ("test", 6)):
            rows = [
                {
                    "text": " ".join(WORDS[(i + k) % len(WORDS)] for k in range(3 + i % 4)),
                    column: labels[i % len(labels)],
                }
                for i in range(count)
            ]
            write_rows(folder / name / f"{split}.csv", rows)
    config = {
        "backbone": backbone_folder,
        "tasks": {"topic": {"labels": ["News", "Opinion", "Fun"]}, "mood": None},
        "datasets": {
            "topics": {"path": "topics", "text": "text", "targets": {"topic": "kind"}},
            "moods": {"path": "moods", "text": "text", "targets": {"mood": "mood"}},
        },
        "training": {
            "output_dir": "output",
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "save_strategy": "epoch",
            "eval_strategy": "epoch",
            "use_cpu": True,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return folder


def launch(folder, *words, config="config.yaml"):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=1", "--num_machines=1"]
    command += ["--mixed_precision=no", "--dynamo_backend=no", str(SCRIPT), config, *words]
    environment = {**os.environ, "HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(folder):
    done = launch(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def results(folder, split):
    return json.loads((folder / "output" / f"{split}_results.json").read_text())


def test_a_run_tells_what_it_does_and_ends_with_scores_and_probabilities(finished):
    said = finished.stdout + finished.stderr
    for words in (
        "| topics ",
        "| topic: News ",
        "| layers.1 ",
        "| test scores |",
        "  topic  ",
        "its card are in output",
    ):
        assert words in said, words
    probabilities = [line for line in finished.stdout.splitlines() if line.startswith("  mood ")]
    assert len(probabilities) == 4
    assert all("good" in line and "bad" in line for line in probabilities)


def test_a_run_leaves_a_checkpoint_with_results_for_every_task(folder, finished):
    for split, prefix in (("eval", "eval"), ("test", "test")):
        found = results(folder, split)
        for task in ("topic", "mood"):
            for metric in ("accuracy", "f1_macro", "matthews_correlation", "loss"):
                assert isinstance(found[f"{prefix}_{task}_{metric}"], float)
    assert results(folder, "train")["train_loss"] > 0
    assert AutoTokenizer.from_pretrained(folder / "output")
    assert list(AutoModel.from_pretrained(folder / "output").heads) == ["topic", "mood"]


def test_the_inferred_labels_are_those_of_the_data_sorted(folder, finished):
    assert AutoModel.from_pretrained(folder / "output").config.task("mood").labels == ("bad", "good")


def test_the_card_holds_the_runs_own_numbers(folder, finished):
    card = ModelCard.load(folder / "output" / "README.md")
    test = results(folder, "test")
    found = {(r.task_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert len(found) == 6
    for (task, metric), value in found.items():
        assert value == pytest.approx(test[f"test_{task}_{metric}"], abs=5e-5)
    assert f"{test['test_topic_accuracy']:.4f}" in card.text
    assert "| layers.1" in card.text
    assert "trust_remote_code=True" in card.text


def test_a_finished_run_is_refused_and_untouched(folder, finished):
    before = {path: path.stat().st_mtime_ns for path in (folder / "output").rglob("*")}
    again = in_process(folder)
    assert again.returncode != 0
    assert "output_dir of a new run must be empty or absent" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "output").rglob("*")} == before


def test_a_run_is_continued_from_its_last_checkpoint(folder, finished):
    done = launch(folder, "--resume_from_checkpoint", "--num_train_epochs", "3")
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((folder / "output" / "trainer_state.json").read_text())
    assert state["global_step"] == 18
    assert [log["epoch"] for log in state["log_history"] if "eval_loss" in log][:3] == [1, 2, 3]


def test_a_task_is_added_to_a_finished_run_which_answers_as_before_where_its_encoder_is_frozen(folder, finished):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    moods = {**config["datasets"]["moods"], "targets": {"tone": "mood"}}
    topics = {**config["datasets"]["topics"], "data_files": {"test": "test.csv"}}
    del config["backbone"], config["tasks"]
    config |= {"from_checkpoint": "output", "datasets": {"moods": moods, "topics": topics}}
    config["training"]["freeze"] = ["backbone"]
    (folder / "added.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = in_process(folder, "--output_dir", "added", config="added.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = (
        json.loads((folder / "added" / f"{name}_results.json").read_text()) for name in ("test_before", "test")
    )
    for metric in ("accuracy", "f1_macro", "loss"):
        assert before[f"test_topic_{metric}"] == after[f"test_topic_{metric}"]
    score = f"{before['test_topic_accuracy']:.4f}"
    assert re.search(rf"\| topic: Accuracy ↑ +\| test +\| {score} \| {score} \|", done.stdout)
    old, new = (AutoModel.from_pretrained(folder / name).eval() for name in ("output", "added"))
    inputs = AutoTokenizer.from_pretrained(folder / "added")(["good film", "bad song"], return_tensors="pt")
    assert list(new.heads) == ["topic", "mood", "tone"]
    for name, logits in old(**inputs).logits.items():
        assert torch.equal(new(**inputs).logits[name], logits)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning_rat", "1"], "found 'learning_rat'. Did you mean 'learning_rate'?"),
        (
            ["--datasets.moods.targets.mood", "feeling"],
            "the column 'feeling', named by targets.mood, must exist, found",
        ),
        (
            ["--tasks.topic.labels", "News", "Fun"],
            "Task 'topic', row 2 of dataset 'topics', split 'train': the label must be",
        ),
        (["--backbone", "packaged:nothing"], "A packaged backbone must be one of"),
        (["--from_checkpoint", "output"], "backbone must be left out where from_checkpoint is given"),
    ],
)
def test_bad_input_ends_with_one_clear_message(folder, flags, message):
    done = in_process(folder, "--output_dir", "never", *flags)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in done.stderr
    assert not (folder / "never").exists()


def test_bad_input_ends_the_script_with_a_failing_exit_code_and_no_traceback(folder):
    done = launch(folder, "--output_dir", "never", "--learning_rat", "1")
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert "set_up" not in done.stderr  # accelerate shows its own stack, not ours
