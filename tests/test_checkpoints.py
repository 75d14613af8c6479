"""A checkpoint is complete or not there, and a run goes on from it as if nothing had happened."""

import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from conftest import tiny_bert
from test_trainer import relative_difference, rows, trainer
from transformers import EarlyStoppingCallback, TrainerCallback, set_seed

from hf_multitask.training import saving_trainer
from hf_multitask.training.checkpoints import (
    checkpoints_in,
    is_cut_off,
    last_complete,
    mark_complete,
    remove_cut_off,
    what_is_missing,
)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A complete checkpoint, with a file in a folder of its own as sharded runs have them."""
    folder = tmp_path / "checkpoint-5"
    (folder / "shards").mkdir(parents=True)
    for name in ("model.safetensors", "shards/part", "trainer_state.json"):
        (folder / name).write_text("12345")
    mark_complete(folder)
    return folder


def started(tmp_path, tokenizer, **arguments):
    """A trainer of 11 steps an epoch that uses random numbers in its steps, saves and evaluates often."""
    set_seed(0)
    callbacks = arguments.pop("callbacks", [])
    values = {
        "per_device_train_batch_size": 2,
        "num_train_epochs": 2,
        "train_sampling_strategy": "random",
        "max_grad_norm": 1.0,
        "save_strategy": "steps",
        "save_steps": 4,
        "logging_strategy": "no",
    }
    job = trainer(tmp_path, tokenizer, tiny_bert(hidden_dropout_prob=0.1), rows(22), **{**values, **arguments})
    for callback in callbacks:
        job.add_callback(callback())
    return job


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_lists_its_files_and_their_sizes(checkpoint):
    assert json.loads((checkpoint / "complete.json").read_text()) == {
        "files": {"model.safetensors": 5, "shards/part": 5, "trainer_state.json": 5}
    }
    assert what_is_missing(checkpoint) is None
    assert not list(checkpoint.glob("*.tmp"))


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        (lambda folder: (folder / "complete.json").unlink(), "no complete.json"),
        (lambda folder: (folder / "complete.json").write_text('{"fil'), "a complete.json that cannot be read"),
        (lambda folder: (folder / "shards" / "part").unlink(), "no shards/part"),
        (lambda folder: (folder / "model.safetensors").write_text("123"), "3 of the 5 bytes of model.safetensors"),
    ],
)
def test_a_checkpoint_that_lacks_anything_is_incomplete(checkpoint, damage, missing):
    damage(checkpoint)
    assert what_is_missing(checkpoint) == missing
    assert last_complete(checkpoint.parent) is None


def test_a_whole_checkpoint_without_a_list_is_not_taken_for_one_that_was_cut_off(checkpoint):
    (checkpoint / "complete.json").unlink()
    assert not is_cut_off(checkpoint)
    (checkpoint / "trainer_state.json").unlink()
    assert is_cut_off(checkpoint)


def test_the_last_complete_checkpoint_is_that_of_the_highest_step(tmp_path):
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        mark_complete(tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-11.old").mkdir()
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-100", "checkpoint-10", "checkpoint-9"]
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10"


CONSTANT = {"lr_scheduler_type": "constant", "weight_decay": 0.1}
FOLLOWS = {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0, "threshold": 10.0}}
STOPS = {"callbacks": [lambda: EarlyStoppingCallback(2, 5.0)], "restore_callback_states_from_checkpoint": True}
BEST = {"metric_for_best_model": "loss"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"gradient_accumulation_steps": 3, "save_steps": 3},
        {"eval_strategy": "epoch", "save_steps": 11, "num_train_epochs": 3},  # an evaluation draws a random number
        {"eval_strategy": "epoch", "save_steps": 11, "num_train_epochs": 3, **FOLLOWS, **BEST},
        {"gradual_unfreezing_steps": 4, "save_steps": 5},
        {"max_steps": 15, "save_steps": 5, **CONSTANT},  # transformers would make a sixteenth
        {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True, **BEST, **STOPS},
    ],
    ids=["accumulation", "epoch", "plateau", "unfreezing", "finished", "early_stopping"],
)
def test_a_run_resumed_from_any_checkpoint_ends_with_the_same_weights(tmp_path, tokenizer, arguments):
    whole = started(tmp_path / "whole", tokenizer, **arguments)
    first = {name: weight.clone() for name, weight in whole.model.state_dict().items()}
    whole.train()
    weights = whole.model.state_dict()
    assert not torch.equal(weights["heads.topic.weight"], first["heads.topic.weight"])
    saved = checkpoints_in(tmp_path / "whole")
    assert len(saved) > 2
    for later, checkpoint in enumerate(saved):
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "again")
        for path in saved[:later]:
            shutil.rmtree(tmp_path / "again" / path.name)
        again = started(tmp_path / "again", tokenizer, **arguments)
        again.train(resume_from_checkpoint=str(tmp_path / "again" / checkpoint.name))
        assert again.state.global_step == whole.state.global_step
        for name, expected in weights.items():
            assert torch.equal(again.model.state_dict()[name], expected), f"{name} after {checkpoint.name}"


class Order(TrainerCallback):
    """Remembers what came after what, and interrupts the first run behind its first step."""

    def __init__(self):
        self.events = []

    def on_log(self, args, state, control, **kwargs):
        if not self.events:
            self.events.append("interrupted")
            raise KeyboardInterrupt

    def on_evaluate(self, args, state, control, **kwargs):
        self.events.append("evaluated")

    def on_save(self, args, state, control, **kwargs):
        self.events.append("saved")


def test_a_run_after_one_that_was_interrupted_saves_the_last_step_of_an_epoch_behind_its_evaluation_too(
    tmp_path, tokenizer
):
    often = {"logging_strategy": "steps", "save_steps": 1, "eval_strategy": "epoch"}
    job = started(tmp_path, tokenizer, per_device_train_batch_size=22, **often)
    job.add_callback(order := Order())
    with pytest.raises(KeyboardInterrupt):
        job.train()
    job.train()
    assert order.events == ["interrupted", *["evaluated", "saved"] * 2]


def test_an_old_checkpoint_is_removed_only_when_the_new_one_is_complete(tmp_path, tokenizer, monkeypatch):
    seen = []

    def mark(checkpoint):
        seen.append(last_complete(tmp_path))
        mark_complete(checkpoint)

    monkeypatch.setattr(saving_trainer, "mark_complete", mark)
    started(tmp_path, tokenizer, num_train_epochs=1, save_total_limit=1).train()
    assert seen == [None, tmp_path / "checkpoint-4", tmp_path / "checkpoint-8"]
    assert names(tmp_path) == ["checkpoint-11"]


def test_a_checkpoint_that_was_cut_off_takes_no_place_of_a_complete_one(tmp_path, tokenizer):
    (tmp_path / "checkpoint-9").mkdir()
    os.utime(tmp_path / "checkpoint-9", (2**32, 2**32))  # the newest, as it is when a run has just been killed
    started(tmp_path, tokenizer, num_train_epochs=1, save_total_limit=2).train()
    assert names(tmp_path) == ["checkpoint-11", "checkpoint-8"]


def test_a_checkpoint_of_weights_only_is_complete(tmp_path, tokenizer):
    started(tmp_path, tokenizer, num_train_epochs=1, save_only_model=True).train()
    found = checkpoints_in(tmp_path)
    assert len(found) == 3
    assert not [path for path in found if what_is_missing(path) or (path / "optimizer.pt").exists()]


def test_no_run_goes_on_from_weights_alone(tmp_path, tokenizer):
    started(tmp_path, tokenizer, num_train_epochs=1, save_only_model=True).train()
    again = started(tmp_path, tokenizer, num_train_epochs=2)
    with pytest.raises(ValueError, match="must have the optimizer and the learning rate .* found neither"):
        again.train(resume_from_checkpoint=True)


def test_a_run_that_has_ended_is_opened_from_weights_alone(tmp_path, tokenizer):
    first = started(tmp_path, tokenizer, num_train_epochs=1, save_only_model=True)
    first.train()
    again = started(tmp_path, tokenizer, num_train_epochs=1, save_only_model=True)
    assert again.train(resume_from_checkpoint=True).global_step == first.state.max_steps
    assert relative_difference(dict(again.model.named_parameters()), dict(first.model.named_parameters())) == 0


@pytest.mark.filterwarnings("ignore:Cannot enable progress bars")
def test_a_checkpoint_is_pushed_when_it_is_complete(tmp_path, tokenizer, monkeypatch):
    pushed = []
    job = started(tmp_path, tokenizer, num_train_epochs=1)
    monkeypatch.setattr(job, "_push_from_checkpoint", lambda path: pushed.append(what_is_missing(Path(path))))
    monkeypatch.setattr(job, "_finish_current_push", lambda: None)
    job.args.push_to_hub = True
    job.train()
    assert pushed == [None] * 3


class AfterTheFirstSave(TrainerCallback):
    """Does something once there is a checkpoint."""

    def __init__(self, action):
        self.action = action

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == 4:
            self.action()


@pytest.fixture
def file_sizes():
    """Sets the size beyond which no file can grow, as if the disk were full."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, kept)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "optimizer.pt"])
def test_a_full_disk_is_told_and_leaves_the_last_checkpoint_intact(tmp_path, tokenizer, file_sizes, name):
    job = started(tmp_path, tokenizer)
    job.add_callback(AfterTheFirstSave(lambda: file_sizes((tmp_path / "checkpoint-4" / name).stat().st_size * 2 // 3)))
    with pytest.raises(OSError, match="must be written whole, found: ") as caught:
        job.train()
    assert "File too large" in str(caught.value) or name == "optimizer.pt"  # torch does not say why
    assert f"Make room, or make the folder writable, and continue from {tmp_path / 'checkpoint-4'}" in str(caught.value)
    assert names(tmp_path) == ["checkpoint-4"]
    assert what_is_missing(tmp_path / "checkpoint-4") is None


def test_an_unwritable_checkpoint_is_told_and_leaves_the_last_one_intact(tmp_path, tokenizer):
    (tmp_path / "checkpoint-8").write_text("not a folder")
    with pytest.raises(
        OSError, match=r"checkpoint-8 must be written whole, found: .* continue from .*checkpoint-4 with"
    ):
        started(tmp_path, tokenizer).train()
    assert (tmp_path / "checkpoint-8").read_text() == "not a folder"
    assert last_complete(tmp_path) == tmp_path / "checkpoint-4"


def test_without_any_complete_checkpoint_the_advice_is_to_start_anew(tmp_path, tokenizer):
    (tmp_path / "checkpoint-4").write_text("not a folder")
    with pytest.raises(OSError, match="and start anew: none is complete"):
        started(tmp_path, tokenizer).train()


def test_a_checkpoint_of_the_same_step_is_replaced_only_by_a_complete_one(tmp_path, tokenizer, monkeypatch):
    started(tmp_path, tokenizer, num_train_epochs=1).train()
    (tmp_path / "checkpoint-8" / "mine").write_text("kept")
    mark_complete(tmp_path / "checkpoint-8")
    job = started(tmp_path, tokenizer, num_train_epochs=1)
    with monkeypatch.context() as broken:
        broken.setattr(job, "_save_scaler", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="No space left on device"):
            job.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert (tmp_path / "checkpoint-8" / "mine").exists()
    assert what_is_missing(tmp_path / "checkpoint-8") is None
    job.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert not (tmp_path / "checkpoint-8" / "mine").exists()
    assert names(tmp_path) == ["checkpoint-11", "checkpoint-4", "checkpoint-8"]


def test_a_checkpoint_from_which_someone_removed_a_file_is_left_alone(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    remove_cut_off(checkpoint.parent)
    assert checkpoint.is_dir()
    (checkpoint / "complete.json").unlink()
    (checkpoint / "trainer_state.json").unlink()
    remove_cut_off(checkpoint.parent)
    assert not checkpoint.exists()


def test_a_run_goes_on_from_its_last_complete_checkpoint_where_none_is_named(tmp_path, tokenizer, caplog):
    whole = started(tmp_path, tokenizer)
    whole.train()
    for name in ("trainer_state.json", "complete.json"):
        (tmp_path / "checkpoint-22" / name).unlink()
    resumed = started(tmp_path, tokenizer)
    resumed.train(resume_from_checkpoint=True)
    assert f"Skipped the incomplete checkpoint {tmp_path / 'checkpoint-22'}" in caplog.text
    for found, expected in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_run_without_a_complete_checkpoint_says_so_where_none_is_named(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="must name a checkpoint, found none at .* that is complete"):
        started(tmp_path, tokenizer).train(resume_from_checkpoint=True)


TWO_EPOCHS = {"save_strategy": "epoch", "num_train_epochs": 2}
RATES = [{"learning_rate": 1e-2}, {"head_learning_rate": 1e-2}, {"weight_decay": 0.5}, {"freeze": ["layers.0"]}]


@pytest.fixture(scope="module")
def resumable(tmp_path_factory, tokenizer) -> Path:
    """A run that goes on from its `checkpoint-1` where nothing is changed."""
    folder = tmp_path_factory.mktemp("resumable")
    for checkpoint in (None, str(folder / "checkpoint-1")):
        trainer(folder, tokenizer, **TWO_EPOCHS).train(resume_from_checkpoint=checkpoint)
    return folder


@pytest.mark.parametrize("other", RATES)
def test_a_run_is_not_resumed_at_other_rates_than_those_of_its_checkpoint(resumable, tokenizer, other):
    job = trainer(resumable, tokenizer, **TWO_EPOCHS | other)
    with pytest.raises(ValueError, match="must have the parameter groups of its checkpoint"):
        job.train(resume_from_checkpoint=str(resumable / "checkpoint-1"))
