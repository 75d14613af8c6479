"""A run that is set up has found what is wrong with its input, and has settled what it reads."""

import json
import shutil

import pytest
import yaml

from hf_multitask import MultiTaskModel
from hf_multitask.commands.description import describe_run
from hf_multitask.commands.run import set_up
from hf_multitask.commands.train import train
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.report import describe_data

ROWS = {
    "moods": [{"text": "good film", "mood": "p"}, {"text": "bad film", "mood": "n"}],
    "pairs": [{"one": "good film", "two": "bad", "score": 0.5}, {"one": "bad film", "two": "bad", "score": 1.0}],
}
MOODS = {"datasets": {"moods": {"path": "moods", "text": "text", "targets": {"mood": "mood"}}}}
PAIRS = {
    "datasets": {"pairs": {"path": "pairs", "text": ["one", "two"], "targets": {"alike": "score"}}},
    "tasks": {"alike": {"problem_type": "similarity"}},
}


@pytest.fixture
def run_of(tmp_path, backbone_folder, monkeypatch):
    """From settings to the run that is set up with them."""
    monkeypatch.chdir(tmp_path)
    for name, rows in ROWS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))

    def build(settings):
        training = {"output_dir": "output", "use_cpu": True, "report_to": "none"}
        (tmp_path / "config.yaml").write_text(
            yaml.safe_dump({"backbone": backbone_folder, "training": training} | settings)
        )
        return set_up(["config.yaml"], None)

    return build


@pytest.mark.parametrize(
    ("max_length", "limit"),
    [({"max_length": 9}, 9), ({"max_length": 1000}, 64), ({}, 64)],
    ids=["asked for", "more than there is", "by default"],
)
def test_a_checkpoint_reads_as_much_as_was_asked_for_and_no_more_than_its_encoder_can(run_of, max_length, limit):
    model = run_of(MOODS | max_length).trainer.model
    assert model.tokenizer.model_max_length == limit
    assert model.encode("good " * 100).shape == (16,)


@pytest.fixture
def unlimited(tmp_path, backbone_folder):
    """A backbone of 64 positions whose tokenizer, as many do, does not say how much is read."""
    folder = shutil.copytree(backbone_folder, tmp_path / "unlimited")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": int(1e30)}))
    return {"backbone": str(folder)}


LONG = {"datasets": {"long": MOODS["datasets"]["moods"] | {"path": "long"}}}


@pytest.fixture
def long_texts(tmp_path):
    (tmp_path / "long").mkdir()
    rows = [{"text": "good " * count, "mood": mood} for mood, count in (("p", 100), ("n", 2))]
    (tmp_path / "long" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("long_texts")
def test_by_default_texts_are_cut_to_what_the_encoder_has_positions_for(run_of, unlimited):
    run = run_of(LONG | unlimited)
    assert sorted(run.trainer.train_dataset[index]["length"] for index in range(2)) == [4, 64]


@pytest.mark.usefixtures("long_texts")
def test_a_text_longer_than_the_encoder_has_positions_for_is_refused_before_training(run_of, unlimited):
    message = "max_length must be at most the 64 tokens of the backbone, found 65 and a text of 65 tokens"
    with pytest.raises(ValueError, match=message):
        run_of(LONG | unlimited | {"max_length": 65})


def test_a_stream_must_be_cut_to_what_the_encoder_can_read(run_of, unlimited):
    task = {"problem_type": "single_label_classification", "labels": ["p", "n"]}
    moods = MOODS["datasets"]["moods"] | {"streaming": True}
    streamed = {"datasets": {"moods": moods}, "tasks": {"mood": task}, "max_length": 65}
    training = {"output_dir": "output", "use_cpu": True, "report_to": "none", "max_steps": 1}
    with pytest.raises(ValueError, match="at most the 64 tokens of the backbone where a dataset is streamed, found 65"):
        run_of(streamed | unlimited | {"training": training})


def test_single_texts_are_no_samples_of_a_similarity_and_that_is_said_before_training(run_of):
    with pytest.raises(ValueError, match=r"sample_texts must be answered by .*, found only similarities. Leave"):
        run_of(PAIRS | {"sample_texts": ["good film"]})


def test_a_run_whose_training_rows_have_changed_is_not_resumed(run_of, tmp_path):
    mild = {
        "output_dir": "output",
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "epoch",
        "num_train_epochs": 2,
    }
    first = run_of(MOODS | {"training": mild})
    first.trainer.train()
    again = MOODS | {"training": mild | {"resume_from_checkpoint": "true", "num_train_epochs": 4}}
    assert run_of(again).checkpoint is not None
    rows = tmp_path / "moods" / "train.jsonl"
    rows.write_text(rows.read_text().replace("bad film", "bad song", 1))
    with pytest.raises(ValueError, match=r"training rows of its checkpoint, found others in the datasets \['moods'\]"):
        run_of(again)


@pytest.mark.parametrize(
    "setting",
    [
        {"load_best_model_at_end": True},
        {"early_stopping_patience": 2},
        {"eval_on_start": True},
        {"lr_scheduler_type": "greedy"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_needs_a_validation_split_is_refused_where_there_is_none(run_of, setting):
    name = next(iter(setting))
    training = {"output_dir": "output", "use_cpu": True, "report_to": "none", **setting}
    with pytest.raises(ValueError, match=f"^{name}.* needs .*, found no validation rows. Give a validation split"):
        run_of({**MOODS, "training": training})


def test_a_metric_that_the_targets_do_not_admit_is_refused_before_training(run_of, tmp_path):
    (tmp_path / "pairs" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS["pairs"]))
    task = {"problem_type": "similarity", "score_range": [0, 2], "metrics": ["spearman", "average_precision"]}
    with pytest.raises(ValueError, match="'alike': average_precision needs targets that are the lowest or the highest"):
        run_of(PAIRS | {"tasks": {"alike": task}})
    rows = [{"one": "good film", "two": "bad", "score": score} for score in (0.1, 0.9)]  # no float32 numbers
    for split in ("train", "test"):
        (tmp_path / "pairs" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_of(PAIRS | {"tasks": {"alike": task | {"score_range": [0.1, 0.9]}}})


def test_pairs_that_tasks_read_together_and_apart_are_a_dataset_like_any_other(run_of, tmp_path):
    rows = [{"one": f"good {word}", "two": "bad", "score": 0.5, "kind": word} for word in ("film", "song")] * 4
    (tmp_path / "pairs" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = PAIRS["datasets"]["pairs"] | {"targets": {"alike": "score", "kind": "kind"}}
    run = run_of({"datasets": {"pairs": pairs}, "tasks": PAIRS["tasks"] | {"kind": {}}})
    record = describe_run(run)
    assert "| pairs:similarity |" in describe_data(record)
    assert run.data.first_texts("train", 4) == [("good film", "bad"), ("good song", "bad")]
    assert "Not every task" not in render_model_card(record)


def test_a_model_that_cannot_be_scored_is_saved(run_of, tmp_path, monkeypatch):
    run_of(MOODS)

    def refuse(*args):
        raise ValueError("there is no such score")

    monkeypatch.setattr("hf_multitask.commands.train._score", refuse)
    with pytest.raises(ValueError, match="no such score"):
        train(["config.yaml"])
    assert MultiTaskModel.from_pretrained(tmp_path / "output").encode("good film").shape == (16,)


TRAINING = {"output_dir": "output", "use_cpu": True, "report_to": "none"}
PEFT = "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # peft 0.21 asks for it


@pytest.mark.parametrize(
    ("given", "strategies"),
    [({}, ("epoch", "epoch")), ({"eval_steps": 1}, ("steps", "epoch")), ({"save_steps": 1}, ("epoch", "steps"))],
)
def test_a_number_of_steps_asks_for_steps(run_of, tmp_path, given, strategies):
    (tmp_path / "moods" / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS["moods"]))
    args = run_of(MOODS | {"training": TRAINING | given}).trainer.args
    assert (args.eval_strategy, args.save_strategy) == strategies


@pytest.mark.filterwarnings(PEFT)
def test_lora_on_a_frozen_encoder_is_refused(run_of):
    pytest.importorskip("peft")
    with pytest.raises(ValueError, match="lora adapts the encoder, which must not be frozen"):
        run_of(MOODS | {"lora": {"rank": 2}, "training": TRAINING | {"freeze": ["backbone"]}})


@pytest.mark.filterwarnings(PEFT)
def test_lora_is_among_what_the_card_tells(run_of):
    pytest.importorskip("peft")
    run = run_of(MOODS | {"lora": {"rank": 2}})
    told = "- `lora`: rank 2, alpha 16, dropout 0, all linear layers; merged into the encoder\n"
    assert told in render_model_card(describe_run(run))


def test_balanced_weights_of_numbers_are_refused(run_of):
    numbers = {"path": "pairs", "text": "one", "targets": {"price": "score"}}
    with pytest.raises(ValueError, match=r"tasks\.price\.class_weights must be left out where targets are numbers"):
        run_of({"datasets": {"pairs": numbers}, "tasks": {"price": {"class_weights": "balanced"}}})
