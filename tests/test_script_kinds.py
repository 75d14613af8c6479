"""A run on one file with every kind of task, and with what else a configuration may ask for."""

import csv
import json
import re
import subprocess
import sys

import pytest
import yaml
from command import in_process
from conftest import WORDS
from transformers import AutoModel, AutoTokenizer

from hf_multitask import MultiTaskModel

pytestmark = pytest.mark.slow
LORA = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks

KINDS = {
    "topic": "single_label_classification",
    "tags": "multi_label_classification",
    "stars": "ordinal",
    "score": "regression",
    "parts": "token_classification",
    "alike": "similarity",
}


def sentences(count, offset):
    for i in range(count):
        words = [WORDS[(i * 3 + k + offset) % len(WORDS)] for k in range(3 + i % 5)]
        yield i, words


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, backbone_folder):
    """Three datasets: sentences, pairs and words; and a configuration of all kinds of task."""
    folder = tmp_path_factory.mktemp("kinds")
    for split, count, offset in (("train", 40, 0), ("test", 12, 1)):
        for name in ("sentences", "pairs", "words"):
            (folder / name).mkdir(exist_ok=True)
        write(
            folder / "sentences" / f"{split}.jsonl",
            (
                {
                    "text": " ".join(words),
                    "topic": ["News", "Fun"][i % 2],
                    "tags": [["long", "odd"][k] for k in range(2) if (i >> k) % 2],
                    "stars": ["bad", "fair", "good"][i % 3],
                    "score": None if i % 5 == 0 else 10.0 + i / 4,
                }
                for i, words in sentences(count, offset)
            ),
        )
        write(
            folder / "pairs" / f"{split}.jsonl",
            ({"a": " ".join(w), "b": " ".join(w[::-1]), "alike": i % 6 + 0.5} for i, w in sentences(count, offset)),
        )
        write(
            folder / "words" / f"{split}.jsonl",
            ({"words": w, "parts": ["B-X" if v == "film" else "O" for v in w]} for i, w in sentences(count, offset)),
        )
    config = {
        "backbone": backbone_folder,
        "tasks": {
            "topic": {"class_weights": "balanced", "label_smoothing": 0.1, "primary_metric": {"f1": "Fun"}},
            "tags": {"head": {"hidden": [8], "dropout": 0.1}},
            "stars": {"problem_type": "ordinal", "labels": ["bad", "fair", "good"]},
            "score": None,
            "parts": None,
            "alike": {"problem_type": "similarity"},
        },
        "datasets": {
            "sentences": {
                "path": "sentences",
                "text": "text",
                "targets": {name: name for name in ("topic", "tags", "stars", "score")},
                "validation": 0.25,
            },
            "pairs": {"path": "pairs", "text": ["a", "b"], "targets": {"alike": "alike"}, "validation": 0.25},
            "words": {"path": "words", "text": "words", "targets": {"parts": "parts"}, "validation": 0.25},
        },
        "mixing": {"strategy": "temperature", "temperature": 2},
        "confidence_intervals": True,
        "training": {
            "output_dir": "output",
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "train_sampling_strategy": "group_by_length",
            "early_stopping_patience": 3,
            "task_patience": 2,
            "save_strategy": "epoch",
            "logging_steps": 4,
            "use_cpu": True,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(folder):
    done = in_process(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_every_kind_is_inferred_or_taken_trained_and_scored(folder, finished):
    config = json.loads((folder / "output" / "config.json").read_text())
    assert {task["name"]: task["problem_type"] for task in config["tasks"]} == KINDS
    scores = json.loads((folder / "output" / "test_results.json").read_text())
    primaries = [
        "topic_f1:Fun",
        "tags_f1_macro",
        "stars_quadratic_kappa",
        "score_pearson",
        "parts_f1",
        "alike_spearman",
    ]
    assert all(f"test_{key}" in scores for key in primaries)
    average = sum(scores[f"test_{key}"] for key in primaries) / 6
    assert scores["test_average"] == pytest.approx(average)
    assert scores["test_worst"] == pytest.approx(min(scores[f"test_{key}"] for key in primaries))


def test_the_checkpoint_of_every_kind_opens_without_the_package_and_answers(folder, finished):
    code = f"""
import sys
sys.modules["hf_multitask"] = None
from transformers import AutoModel, AutoTokenizer
path = {str(folder / "output")!r}
model = AutoModel.from_pretrained(path, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
logits = model(**tokenizer(["good film"], return_tensors="pt")).logits
print(sorted(model.decide(logits)), sorted(model.probabilities(logits)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{sorted(KINDS)} {sorted(set(KINDS) - {'score', 'alike'})}"


def test_calibration_is_stored_and_the_figures_and_the_card_are_there(folder, finished):
    tasks = {task["name"]: task for task in json.loads((folder / "output" / "config.json").read_text())["tasks"]}
    assert tasks["parts"]["temperature"] != 1.0
    assert len(tasks["tags"]["thresholds"]) == 2
    assert tasks["score"]["target_std"][0] > 0
    card = (folder / "output" / "README.md").read_text(encoding="utf-8")
    for image in ("confusion_topic", "classes_tags", "losses", "metrics", "learning_rates"):
        assert (folder / "output" / "figures" / f"{image}.png").read_bytes().startswith(b"\x89PNG")
        # What a table in the card tells is not shown again.
        assert (f"figures/{image}.png" in card) == (image != "classes_tags")
    assert "figures/classes_tags.csv" in card


def test_rows_that_cannot_be_used_are_fatal_unless_allowed_and_then_listed(folder):
    (folder / "broken").mkdir()
    rows = [{"text": " ".join(words), "topic": "News" if i % 2 else "Fun"} for i, words in sentences(20, 0)]
    write(folder / "broken" / "train.jsonl", [*rows, {"text": "", "topic": "Fun"}])
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["datasets"] = {"broken": {"path": "broken", "text": "text", "targets": {"topic": "topic"}}}
    config["tasks"] = None
    del config["mixing"], config["training"]["task_patience"], config["training"]["early_stopping_patience"]
    (folder / "broken.yaml").write_text(yaml.safe_dump(config))
    refused = in_process(folder, config="broken.yaml")
    assert refused.returncode != 0
    assert "Row 21 of dataset 'broken', split 'train'" in refused.stderr
    allowed = in_process(folder, "--invalid_rows", "skip", "--output_dir", "skipped", config="broken.yaml")
    assert allowed.returncode == 0, allowed.stderr[-3000:]
    with (folder / "skipped" / "skipped_rows.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["row"] == "broken/train/21"
    assert "must hold a text" in row["reason"]


@LORA
def test_a_lora_run_ends_as_an_ordinary_checkpoint(folder, finished):
    done = in_process(
        folder, "--lora", "{rank: 2}", "--output_dir", "lora", "--training.early_stopping_patience", "null"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    model = MultiTaskModel.from_pretrained(folder / "lora")
    assert not [name for name in model.state_dict() if "lora" in name]
    plain = AutoModel.from_pretrained(folder / "output")
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert AutoTokenizer.from_pretrained(folder / "lora")


@LORA
def test_adapters_that_are_kept_apart_open_as_the_card_says(folder, finished):
    flags = [
        "--lora",
        "{rank: 2, merge: false}",
        "--output_dir",
        "adapters",
        "--training.early_stopping_patience",
        "null",
    ]
    done = in_process(folder, *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    card = (folder / "adapters" / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", card, re.S)[:2]
    backbone = yaml.safe_load((folder / "config.yaml").read_text())["backbone"]
    code = (first + second).replace('path = "..."', f"path = {str(folder / 'adapters')!r}")
    code = re.sub(r'from_backbone\("[^"]*"', f"from_backbone({backbone!r}", code)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    config = json.loads((folder / "adapters" / "config.json").read_text())
    assert {line.split()[0] for line in told.splitlines()} >= {task["name"] for task in config["tasks"]} - {"alike"}
