"""A checkpoint scored again has the results of its run, whatever labels the data would tell."""

import json
import logging

import pytest
import yaml
from test_command_predict import refused
from test_script_kinds import folder  # noqa: F401 - a fixture

from hf_multitask.__main__ import main
from hf_multitask.commands.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(folder):  # noqa: F811
    """The folder of a configuration and, in `output`, its run with a task of every kind."""
    train([str(folder / "config.yaml"), "--output_dir", str(folder / "output")])
    logging.getLogger("hf_multitask").setLevel(logging.NOTSET)
    return folder


def evaluate(finished, capsys, *words, config="config.yaml"):
    output = finished / "results.json"
    output.unlink(missing_ok=True)
    main(["evaluate", str(finished / "output"), str(finished / config), "--output", str(output), *words])
    return json.loads(output.read_text(encoding="utf-8")), capsys.readouterr().out


def scores(results):
    timing = ("runtime", "per_second", "preparation_time")
    return {key: value for key, value in results.items() if not key.endswith(timing) and isinstance(value, float)}


@pytest.mark.parametrize(("split", "prefix"), [("test", "test"), ("validation", "eval")])
def test_the_results_are_those_of_the_run(finished, capsys, split, prefix):
    found, told = evaluate(finished, capsys, "--split", split)
    expected = scores(json.loads((finished / "output" / f"{prefix}_results.json").read_text(encoding="utf-8")))
    assert len(expected) > 15
    assert scores(found) == pytest.approx(expected, abs=1e-6)
    assert f"| {split} scores" in told
    assert f"{found[f'{prefix}_topic_f1:Fun']:.4f}" in told
    assert "Primary metrics of all tasks: " in told


def test_intervals_are_those_of_the_card(finished, capsys):
    found, told = evaluate(finished, capsys, "--confidence_intervals")
    low, high = found["confidence_intervals"]["topic_f1:Fun"]
    shown = f"{found['test_topic_f1:Fun']:.4f} [{low:.4f}, {high:.4f}]"
    assert shown in told
    assert shown in (finished / "output" / "README.md").read_text(encoding="utf-8")


def changed(finished, change):
    config = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf-8"))
    change(config)
    (finished / "changed.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return finished / "changed.yaml"


def test_the_checkpoints_labels_count_and_not_those_of_the_data(finished, capsys):
    """Of a split that has one label of two; and in another order in the configuration."""
    expected, _ = evaluate(finished, capsys)

    def swap(config):
        config["tasks"] = dict.fromkeys(config["tasks"])
        config["tasks"]["topic"] = {"labels": ["News", "Fun"]}
        config["tasks"]["stars"] = {"problem_type": "ordinal", "labels": ["good", "fair", "bad"]}
        config["tasks"]["alike"] = {"problem_type": "similarity"}

    changed(finished, swap)
    assert scores(evaluate(finished, capsys, config="changed.yaml")[0]) == pytest.approx(scores(expected), abs=1e-6)


def test_a_label_that_the_checkpoint_does_not_know_is_refused(finished, capsys):
    path = finished / "sentences" / "test.jsonl"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace('"topic": "Fun"', '"topic": "Sport"', 1), encoding="utf-8")
        message = refused(capsys, "evaluate", finished / "output", finished / "config.yaml")
    finally:
        path.write_text(text, encoding="utf-8")
    assert "Task 'topic', row 2 of dataset 'sentences', split 'test'" in message
    assert "found 'Sport'" in message


def test_a_task_that_the_checkpoint_does_not_have_is_refused(finished, capsys):
    def add(config):
        config["tasks"]["other"] = None
        config["datasets"]["sentences"]["targets"]["other"] = "topic"

    message = refused(capsys, "evaluate", finished / "output", changed(finished, add))
    assert "The tasks of the configuration must be the checkpoint's" in message
    assert "found ['other']" in message


def test_a_task_without_data_is_not_scored(finished, capsys):
    def drop(config):
        del config["tasks"]["parts"], config["datasets"]["words"]

    changed(finished, drop)
    found, told = evaluate(finished, capsys, config="changed.yaml")
    assert not any("parts" in key for key in found)
    assert "| parts" not in told


def test_results_are_never_overwritten(finished, capsys):
    (finished / "mine.json").write_text("mine")
    words = ("evaluate", finished / "output", finished / "config.yaml", "--output", finished / "mine.json")
    assert "The output must not exist yet" in refused(capsys, *words)
    assert (finished / "mine.json").read_text() == "mine"


def test_the_folder_of_the_results_is_made(finished, capsys):
    output = finished / "a" / "b" / "results.json"
    main(["evaluate", str(finished / "output"), str(finished / "config.yaml"), "--output", str(output)])
    assert "test_average" in output.read_text(encoding="utf-8")


def test_labelled_rows_that_come_without_training_rows_are_scored(finished, capsys):
    """Of one dataset of three; the others, and what would be cut of it, have no part in it."""
    expected, _ = evaluate(finished, capsys)

    def alone(config):
        config["datasets"] = {"new": config["datasets"]["sentences"] | {"data_files": {"test": "test.jsonl"}}}
        for name in ("parts", "alike"):
            del config["tasks"][name]
        del config["backbone"]  # the checkpoint is there
        config |= {"compare_single_task": True, "lora": {"merge": False}}  # as it may have been trained

    changed(finished, alone)
    found, _ = evaluate(finished, capsys, config="changed.yaml")
    for key in ("test_topic_f1:Fun", "test_tags_f1_macro", "test_stars_quadratic_kappa", "test_score_pearson"):
        assert found[key] == pytest.approx(expected[key], abs=1e-6)
    message = refused(capsys, "evaluate", finished / "output", finished / "changed.yaml", "--split", "train")
    assert "There must be train rows to score, found only the splits ['test']" in message


@pytest.fixture(scope="module")
def cut(finished):
    """The same configuration, and in `cut` its run with flags by which other rows are kept out of training."""
    train([str(finished / "config.yaml"), "--output_dir", str(finished / "cut"), "--num_train_epochs", "1", *FLAGS])
    logging.getLogger("hf_multitask").setLevel(logging.NOTSET)
    return finished


FLAGS = ("--seed", "7", "--datasets.sentences.max_rows", "36")


@pytest.mark.parametrize("place", ["cut", "cut/checkpoint-*"])
def test_rows_that_are_cut_otherwise_than_in_the_run_are_refused(cut, capsys, place):
    (checkpoint,) = cut.glob(place)
    words = ("evaluate", checkpoint, cut / "config.yaml", "--split", "validation")
    message = refused(capsys, *words)
    assert "datasets.sentences: its validation rows must be cut as in the model's run, found others" in message
    assert "seed 42 (in the run 7), datasets.sentences.max_rows null (in the run 36)" in message
    assert f"Add {' '.join(FLAGS)}, or" in message
    assert "Add --seed 7, or give new rows a file" in refused(capsys, *words, *FLAGS[2:])


def test_with_the_flags_of_the_run_the_results_are_those_of_the_run(cut, capsys):
    main(["evaluate", str(cut / "cut"), str(cut / "config.yaml"), *FLAGS, "--split", "validation"])
    expected = json.loads((cut / "cut" / "eval_results.json").read_text(encoding="utf-8"))
    assert f"{expected['eval_topic_f1:Fun']:.4f}" in capsys.readouterr().out
    main(["evaluate", str(cut / "cut"), str(cut / "config.yaml")])  # its test rows come in a file of their own


def test_a_run_that_left_no_record_is_scored_and_the_log_tells(finished, capsys, caplog):
    state = finished / "output" / "trainer_state.json"
    aside = state.rename(state.with_suffix(".aside"))
    try:
        evaluate(finished, capsys, "--split", "validation")
    finally:
        aside.rename(state)
    told = "Dataset 'sentences': its validation rows, cut from training rows, could not be compared"
    assert told in caplog.text
    assert "there is no record of the model's run" in caplog.text


def test_a_flag_that_is_unknown_is_refused(finished, capsys):
    message = refused(capsys, "evaluate", finished / "output", finished / "config.yaml", "--sed", "7")
    assert "every key must be known, found 'sed'. Did you mean 'seed'?" in message
