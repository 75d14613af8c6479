"""A run that starts from an earlier model adds tasks to it and keeps, replays or distils those that it has."""

import csv
import json
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import WORDS, make_tokenizer, tiny_bert
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel, TrainerCallback

from hf_multitask import MultiTaskModel
from hf_multitask.commands.earlier_scores import score_earlier_tasks
from hf_multitask.commands.retention import choose_retention
from hf_multitask.commands.run import set_up
from hf_multitask.commands.starting_model import find_start
from hf_multitask.commands.train import train
from hf_multitask.data.split_record import split_record
from hf_multitask.settings.command_line import parse_command_line
from hf_multitask.settings.run_settings import RunSettings
from hf_multitask.training.argument_parser import argument_names

pytestmark = pytest.mark.usefixtures("own_cache")

TASKS = [
    {"name": "topic", "labels": ["News", "Opinion", "Fun"], "temperature": 1.5},
    {"name": "flags", "problem_type": "multi_label_classification", "labels": ["a", "b"], "thresholds": [0.25, 0.75]},
    {"name": "stars", "problem_type": "regression", "target_mean": [2.0], "target_std": [0.5], "loss_weight": 0.25},
    {"name": "alike", "problem_type": "similarity"},
]
TARGETS = {"subj": ("o", "s"), "topic": ("News", "Opinion", "Fun"), "stars": ("1.5", "2.5", "4.0")}
SUBJ = {"path": "subj", "text": "text", "targets": {"subj": "subj"}}
TOPICS = {"path": "topics", "text": "text", "targets": {"topic": "topic"}}
ONLY_TEST = {**TOPICS, "data_files": {"test": "test.csv"}}


class StopAfterOneEpoch(TrainerCallback):
    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_training_stop = True


@pytest.fixture
def folder(tmp_path):
    """An earlier model with its tokenizer in `old`, and rows for its tasks and for new ones."""
    tiny_bert(tasks=TASKS, pooling="cls", initializer_range=0.5).save_pretrained(tmp_path / "old")
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 20
    tokenizer.save_pretrained(tmp_path / "old")
    for name, columns in (
        ("subj", ["subj"]),
        ("topics", ["topic"]),
        ("ratings", ["stars"]),
        ("both", ["subj", "topic"]),
    ):
        (tmp_path / name).mkdir()
        for split, count in (("train", 32), ("validation", 8), ("test", 12)):
            with (tmp_path / name / f"{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["text", *columns])
                for i in range(count):
                    text = " ".join(WORDS[(i * 5 + k) % len(WORDS)] for k in range(2 + i % 5))
                    writer.writerow([text, *(TARGETS[c][i % len(TARGETS[c])] for c in columns)])
    return tmp_path


def config(folder, **values):
    """Words of a command line that add the task subj to the model in `old`, but for other `values`."""
    training = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 3e-3,
        "head_learning_rate": 3e-2,
        "weight_decay": 0.1,
        "logging_steps": 1,
        "save_strategy": "no",
        "eval_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        **values.pop("training", {}),
    }
    content = {"from_checkpoint": str(folder / "old"), "datasets": {"subj": SUBJ}, **values, "training": training}
    (folder / "config.yaml").write_text(json.dumps(content))
    return [str(folder / "config.yaml")]


def started(folder, **values):
    return set_up(config(folder, **values), None)


def outputs(model, tokenizer):
    """The logits of all tasks for a few texts, and pairs."""
    texts = [" ".join(WORDS[i : i + 4]) for i in range(12)]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    second = {f"pair_{key}": value.flip(0) for key, value in batch.items() if key != "token_type_ids"}
    with torch.no_grad():
        return model.eval()(**batch, **second).logits


def earlier_outputs(folder):
    return outputs(MultiTaskModel.from_pretrained(folder / "old"), make_tokenizer())


def distance(found, expected):
    """Root mean square of the differences of the earlier text tasks' logits, of topic up to a shift of them all."""
    differences = [found[name] - expected[name] for name in ("topic", "flags", "stars")]
    differences[0] = differences[0] - differences[0].mean(dim=1, keepdim=True)
    return torch.cat([difference.flatten() for difference in differences]).square().mean().sqrt().item()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "x"}, "backbone must be left out where from_checkpoint is given, found 'x'"),
        ({"retain": "keep"}, "retain must be one of ['replay', 'distill', 'none'], found 'keep'"),
        ({"lora": {"merge": False}}, "lora.merge must be true where from_checkpoint is given, found false"),
        ({"from_checkpoint": 3}, "from_checkpoint must be str | None, found 3"),
        ({"from_checkpoint": None, "backbone": "x", "retain": "none"}, "retain must be left out without from_check"),
        ({"from_checkpoint": None}, "One of backbone and from_checkpoint must be given, found neither"),
    ],
)
def test_settings_that_contradict_an_earlier_model_are_refused(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RunSettings.from_dict({"from_checkpoint": "old", "datasets": {"subj": SUBJ}, **values})


def test_a_flag_names_the_earlier_model_as_it_stands(folder):
    words = [*config(folder), "--from_checkpoint", "1e5", "--retain", "none"]
    settings = parse_command_line(words, None, {"output_dir"})
    assert (settings.from_checkpoint, settings.retain) == ("1e5", "none")


def test_what_is_no_multi_task_model_is_refused(folder):
    BertModel(tiny_bert().config.text_config).save_pretrained(folder / "bert")
    with pytest.raises(ValueError, match=r"must be a trained multi-task model\. The model_type .*, found 'bert' in"):
        started(folder, from_checkpoint=str(folder / "bert"))
    with pytest.raises(ValueError, match=r"from_checkpoint must be a trained multi-task model\."):
        started(folder, from_checkpoint=str(folder / "nothing"))


def test_adapters_alone_are_refused(folder):
    (folder / "old" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"must hold a whole model, found adapters alone in .*/old\."):
        started(folder)


def test_a_checkpoint_without_all_weights_is_refused(folder):
    weights = load_file(folder / "old" / "model.safetensors")
    del weights["heads.topic.weight"]
    save_file(weights, folder / "old" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"must hold all weights .* found none that fit for \['heads\.topic\.weight'\]"
    ):
        started(folder)


def test_pooling_and_length_are_the_earlier_models(folder):
    start = find_start(parse_command_line(config(folder), None, argument_names()))
    assert (start.pooling, start.max_length) == ("cls", 20)
    assert [task.name for task in start.earlier] == ["topic", "flags", "stars", "alike"]


def test_another_length_may_be_given_and_another_pooling_may_not(folder):
    run = started(folder, max_length=12)
    assert run.tokenizer.model_max_length == 12
    with pytest.raises(ValueError, match=r"pooling must be that of from_checkpoint, 'cls', found 'mean'"):
        started(folder, pooling="mean")


def test_the_model_starts_with_all_earlier_answers_and_their_calibration(folder):
    run = started(folder)
    found, expected = outputs(run.trainer.model, make_tokenizer()), earlier_outputs(folder)
    assert list(found) == ["topic", "flags", "stars", "alike", "subj"]
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
    topic, flags, stars, *_ = run.trainer.model.config.tasks
    assert (topic.temperature, flags.thresholds) == (1.5, (0.25, 0.75))
    assert (stars.target_mean, stars.target_std, stars.loss_weight) == ((2.0,), (0.5,), 0.25)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"labels": ["News", "Fun"]},
            "tasks.topic.labels must be that of the earlier model, ['News', 'Opinion', 'Fun']",
        ),
        ({"problem_type": "ordinal"}, "tasks.topic.problem_type must be that of the earlier model, single_label"),
        ({"head": {"hidden": [4]}}, "tasks.topic.head must be that of the earlier model"),
        (
            {"class_weights": "balanced"},
            "tasks.topic.class_weights must be left out where the task has no training rows",
        ),
    ],
)
def test_an_earlier_task_that_is_asked_otherwise_is_refused(folder, settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        started(folder, tasks={"subj": {}, "topic": settings})


def test_rows_with_other_labels_than_the_earlier_tasks_are_refused(folder):
    (folder / "topics" / "train.csv").write_text("text,topic\ngood film,Sport\n")
    with pytest.raises(ValueError, match=r"the label must be one of \['News', 'Opinion', 'Fun'\], found 'Sport'"):
        started(folder, datasets={"subj": SUBJ, "topics": TOPICS})


def test_rows_that_the_earlier_model_may_have_been_trained_on_are_not_scored(folder, caplog):
    new = {"subj": {**SUBJ, "data_files": "train.csv", "test": 0.25}}  # no model knows its rows
    both = new | {"topics": {**TOPICS, "data_files": "train.csv", "test": 0.25}}
    run = started(folder, datasets=both, invalid_rows="error", retain="none")
    record = split_record(run.settings, run.data)
    record["settings"] = {flag: value for flag, value in record["settings"].items() if ".subj." not in flag}
    state = {"stateful_callbacks": {"RecordedSplits": {"args": {"record": record}, "attributes": {}}}}
    (folder / "old" / "trainer_state.json").write_text(json.dumps(state))
    caplog.clear()
    started(folder, datasets=both)
    started(folder, datasets=new)
    started(folder, datasets={"topics": {**new["subj"], "test": 0.5}})  # called as the earlier run called another
    assert "could not be compared" not in caplog.text
    both["topics"] = {**both["topics"], "test": 0.5}
    message = r"datasets\.topics: its test rows must be cut as in the model's run, .* 0\.5 \(in the run 0\.25\)"
    with pytest.raises(ValueError, match=message):
        started(folder, datasets=both)


def test_an_earlier_task_is_trained_as_the_configuration_says_in_its_own_units(folder):
    ratings = {"path": "ratings", "text": "text", "targets": {"stars": "stars"}}
    run = started(folder, datasets={"subj": SUBJ, "ratings": ratings}, tasks={"subj": {}, "stars": {"loss_weight": 2}})
    stars = run.trainer.model.config.task("stars")
    assert (stars.loss_weight, stars.target_mean, stars.target_std) == (2.0, (2.0,), (0.5,))


def test_an_earlier_task_without_rows_may_be_named_for_its_weight_and_a_new_one_may_not(folder):
    run = started(folder, tasks={"subj": {}, "topic": {"loss_weight": 3}})
    assert run.trainer.model.config.task("topic").loss_weight == 3
    with pytest.raises(ValueError, match=r"Every task must have targets in a dataset, found none for \['mood'\]"):
        started(folder, tasks={"subj": {}, "mood": {}})


def test_only_rows_of_new_tasks_must_be_for_training(folder):
    run = started(folder, datasets={"subj": SUBJ, "topics": ONLY_TEST})
    assert run.data.sizes() == {"subj": {"train": 32, "validation": 8, "test": 12}, "topics": {"test": 12}}
    assert run.data.untrained == ["topic", "flags", "stars", "alike"]
    with pytest.raises(ValueError, match=r"datasets\.subj: there must be a train split"):
        started(folder, datasets={"subj": {**SUBJ, "data_files": {"test": "test.csv"}}})
    with pytest.raises(ValueError, match=r"There must be training rows, found only the splits \['test'\]"):
        started(folder, datasets={"topics": ONLY_TEST})


def test_weights_of_a_mixture_may_name_datasets_without_training_rows(folder):
    mixing = {"strategy": "weights", "weights": {"subj": 1, "both": 2, "topics": 0}}
    both = {"path": "both", "text": "text", "targets": {"subj": "subj"}}
    run = started(folder, datasets={"subj": SUBJ, "both": both, "topics": ONLY_TEST}, mixing=mixing)
    assert run.trainer.train_dataset.settings.weights == {"subj": 1, "both": 2}


@pytest.mark.parametrize(
    ("wanted", "encoder_learns", "untrained", "chosen"),
    [
        (None, True, ["topic"], "distill"),
        (None, True, [], "replay"),
        (None, False, ["topic"], "frozen"),
        ("distill", True, [], "distill"),
        ("replay", True, [], "replay"),
        ("none", True, ["topic"], "none"),
        ("none", True, [], "replay"),
        ("none", False, ["topic"], "frozen"),
    ],
)
def test_the_retention_follows_from_the_wish_the_encoder_and_the_rows(wanted, encoder_learns, untrained, chosen):
    data = SimpleNamespace(untrained=untrained, streams={})
    assert choose_retention(wanted, encoder_learns, data) == chosen


@pytest.mark.parametrize(
    ("wanted", "encoder_learns", "streams", "message"),
    [
        ("replay", True, {}, r"retain: replay needs training rows of every task .* found none for \['topic'\]"),
        ("distill", False, {}, "retain must be left out where the encoder is frozen, found 'distill'"),
        (None, True, {"web": 1}, r"retain: distill needs rows .* found the streamed datasets \['web'\]"),
    ],
)
def test_a_retention_that_cannot_be_is_refused(wanted, encoder_learns, streams, message):
    with pytest.raises(ValueError, match=message):
        choose_retention(wanted, encoder_learns, SimpleNamespace(untrained=["topic"], streams=streams))


def test_nothing_kept_is_warned_of(folder, caplog):
    started(folder, retain="none")
    assert "nothing keeps the earlier tasks ['topic', 'flags', 'stars', 'alike'], which may get worse" in caplog.text


def test_with_a_frozen_encoder_earlier_answers_stay_bit_equal_also_when_saved(folder):
    run = started(folder, training={"freeze": ["backbone"]})
    assert run.retention == "frozen"
    before = run.trainer.model.heads["subj"].weight.clone()
    run.trainer.train()
    assert not torch.equal(run.trainer.model.heads["subj"].weight, before)
    run.trainer.save_model(str(run.folder))
    expected = earlier_outputs(folder)
    for model in (run.trainer.model, MultiTaskModel.from_pretrained(run.folder)):
        found = outputs(model, make_tokenizer())
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)


def test_heads_that_nothing_trains_stay_as_they_are(folder):
    run = started(folder, retain="none")
    heads = {name: p.clone() for name, p in run.trainer.model.heads.named_parameters() if not name.startswith("subj")}
    run.trainer.train()
    for name, parameter in run.trainer.model.heads.named_parameters():
        assert name.startswith("subj") or torch.equal(parameter, heads[name])
        assert parameter.requires_grad == name.startswith("subj")


def test_distillation_keeps_earlier_answers_much_closer_than_nothing_does(folder):
    expected = earlier_outputs(folder)
    training = {"num_train_epochs": 8, "learning_rate": 1e-3, "head_learning_rate": 3e-3, "weight_decay": 0.0}
    distances = {}
    for retain in ("none", "distill"):
        run = started(folder, retain=retain, training=training)
        run.trainer.train()
        distances[retain] = distance(outputs(run.trainer.model, make_tokenizer()), expected)
        assert run.trainer.state.global_step == 32
    assert distances["none"] > 0.2
    assert distances["distill"] < distances["none"] / 2.5


def test_distillation_is_the_default_and_tells_of_a_similarity_that_has_no_pairs(folder, caplog):
    run = started(folder)
    assert run.retention == "distill"
    assert "Task 'alike': no training row has what it reads, so that nothing retains it" in caplog.text
    assert caplog.text.count("no training row has what it reads") == 1
    run.trainer.train()
    logged = run.trainer.state.log_history[0]
    assert logged["loss/topic"] == pytest.approx(0, abs=1e-5)
    assert logged["loss/subj"] > 0.1
    assert "loss/alike" not in logged


def test_replay_trains_the_earlier_head_on_rows_of_its_own(folder):
    run = started(folder, datasets={"subj": SUBJ, "topics": {**TOPICS, "max_rows": 8}}, retain="none")
    assert run.data.sizes()["topics"]["train"] == 8
    weight = run.trainer.model.heads["topic"].weight.clone()
    run.trainer.train()
    assert not torch.equal(run.trainer.model.heads["topic"].weight, weight)


def test_replay_needs_rows_for_all_earlier_tasks(folder):
    with pytest.raises(ValueError, match=r"found none for \['flags', 'stars', 'alike'\]\. Add datasets"):
        started(folder, datasets={"subj": SUBJ, "topics": TOPICS}, retain="replay")


def test_labels_win_over_the_answers_of_the_earlier_model(folder):
    run = started(folder, datasets={"subj": SUBJ, "topics": TOPICS})
    rows = run.trainer.train_dataset
    batch = run.trainer.data_collator([rows[0], rows[32], rows[len(rows)]])
    assert batch["labels"]["topic"].tolist() == [-100, 0, -100]
    assert batch["teacher_logits"]["topic"].isnan().all(dim=1).tolist() == [False, True, True]
    assert batch["teacher_logits"]["flags"].isnan().all(dim=1).tolist() == [False, False, True]


def test_scores_before_training_are_of_the_earlier_tasks_and_change_nothing(folder):
    values = {"datasets": {"subj": SUBJ, "topics": ONLY_TEST}}
    plain, scored = started(folder, **values), started(folder, **values)
    before = score_earlier_tasks(scored)
    assert list(before) == ["test"]
    assert "test_topic_accuracy" in before["test"]
    assert not [key for key in before["test"] if "subj" in key]
    for run in (plain, scored):
        run.trainer.train()
    expected = plain.trainer.model.state_dict()
    for name, value in scored.trainer.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(folder):
    training = {"save_strategy": "epoch", "num_train_epochs": 2}
    whole = started(folder, training={**training, "output_dir": str(folder / "whole")})
    whole.trainer.train()
    first = started(folder, training={**training, "output_dir": str(folder / "cut")})
    first.trainer.add_callback(StopAfterOneEpoch())
    first.trainer.train()
    words = [*config(folder, training={**training, "output_dir": str(folder / "cut")}), "--resume_from_checkpoint"]
    resumed = set_up(words, None)
    assert resumed.checkpoint.endswith("checkpoint-4")
    resumed.trainer.train(resume_from_checkpoint=resumed.checkpoint)
    assert resumed.trainer.state.global_step == 8
    ended = whole.trainer.model.state_dict()
    for name, value in resumed.trainer.model.state_dict().items():
        torch.testing.assert_close(value, ended[name], rtol=0, atol=0, msg=name)


def test_the_card_tells_each_earlier_score_before_and_after_as_the_run_measured_it(folder):
    train(config(folder, datasets={"subj": SUBJ, "topics": ONLY_TEST}))
    out = folder / "out"
    before = json.loads((out / "test_before_results.json").read_text())
    after = json.loads((out / "test_results.json").read_text())
    card = (out / "README.md").read_text().partition("before and after")[2].partition("\n## ")[0].partition("\n### ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| topic")
    ]
    metrics = ["f1_macro", "accuracy", "matthews_correlation", "loss"]
    assert [row[1:] for row in rows] == [
        ["test", f"{before[f'test_topic_{metric}']:.4f}", f"{after[f'test_topic_{metric}']:.4f}"] for metric in metrics
    ]
    assert before["test_topic_loss"] != after["test_topic_loss"]
    assert "(distillation)" in card


def test_the_new_model_is_a_checkpoint_like_any_other(folder):
    run = started(folder)
    run.trainer.save_model(str(run.folder))
    saved = (run.folder / "config.json").read_text()
    assert str(folder) not in saved
    old = json.loads((folder / "old" / "config.json").read_text())
    assert json.loads(saved)["auto_map"] == old["auto_map"]
    assert AutoTokenizer.from_pretrained(run.folder).model_max_length == 20


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_adapters_may_learn_in_place_of_the_encoder(folder):
    run = started(folder, lora={"rank": 2})
    assert run.retention == "distill"
    run.trainer.train()
    assert run.trainer.state.log_history[0]["loss/topic"] == pytest.approx(0, abs=1e-5)
