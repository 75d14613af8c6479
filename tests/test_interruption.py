"""A run that is stopped, by a signal or by death, goes on and ends with the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_checkpoints import started
from transformers import TrainerCallback

from hf_multitask.training.checkpoints import checkpoints_in, what_is_missing
from hf_multitask.training.interruption import StopOnSignal

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _python_hears_ctrl_c():
    """A shell has SIGINT ignored in what it starts in the background, the tests perhaps."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


class SignalAt(TrainerCallback):
    """Sends this process signals when a step begins."""

    def __init__(self, step, *signals):
        self.step, self.signals = step, signals

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            for number in self.signals:
                signal.raise_signal(number)


class Events(TrainerCallback):
    """Remembers what happened."""

    def __init__(self):
        self.saved, self.evaluated = [], []

    def on_save(self, args, state, control, **kwargs):
        self.saved.append(state.global_step)

    def on_evaluate(self, args, state, control, **kwargs):
        self.evaluated.append(state.global_step)


def stopped(job, *callbacks) -> tuple[StopOnSignal, Events]:
    events = Events()
    with StopOnSignal() as stop:
        for callback in (stop, events, *callbacks):
            job.add_callback(callback)
        job.train()
    return stop, events


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("strategy", ["no", "steps", "epoch"])
def test_a_signal_saves_one_checkpoint_at_its_step_and_stops(tmp_path, tokenizer, strategy, number):
    job = started(tmp_path, tokenizer, save_strategy=strategy, eval_strategy="epoch")
    stop, events = stopped(job, SignalAt(6, number))
    assert stop.interrupted == number
    assert job.state.global_step == 6
    assert events.saved == ([4, 6] if strategy == "steps" else [6])
    assert events.evaluated == [], "the epoch has not ended"
    assert what_is_missing(tmp_path / "checkpoint-6") is None


def test_a_run_stopped_at_the_last_step_of_an_epoch_is_evaluated_and_saved_once(tmp_path, tokenizer):
    _, events = stopped(started(tmp_path, tokenizer, eval_strategy="epoch"), SignalAt(11, signal.SIGINT))
    assert events.evaluated == [11]
    assert events.saved == [4, 8, 11]


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, tokenizer):
    whole = started(tmp_path / "whole", tokenizer)
    whole.train()
    stopped(started(tmp_path / "again", tokenizer), SignalAt(7, signal.SIGINT))
    again = started(tmp_path / "again", tokenizer)
    again.train(resume_from_checkpoint=str(tmp_path / "again" / "checkpoint-7"))
    assert again.state.global_step == 22
    for name, expected in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], expected), name


def test_the_checkpoint_of_a_stopped_run_stays_beside_the_best(tmp_path, tokenizer):
    best = {"save_total_limit": 1, "load_best_model_at_end": True, "metric_for_best_model": "loss"}
    job = started(tmp_path, tokenizer, eval_strategy="steps", eval_steps=4, **best)
    stopped(job, SignalAt(6, signal.SIGINT))
    assert sorted(path.name for path in checkpoints_in(tmp_path)) == ["checkpoint-4", "checkpoint-6"]


def test_a_run_without_a_signal_ends_as_ever(tmp_path, tokenizer):
    stop, events = stopped(started(tmp_path, tokenizer))
    assert stop.interrupted is None
    assert events.saved == [4, 8, 12, 16, 20, 22]


def test_a_second_signal_stops_at_once(tmp_path, tokenizer):
    before = handlers()
    job = started(tmp_path, tokenizer)
    with pytest.raises(KeyboardInterrupt):
        stopped(job, SignalAt(6, signal.SIGTERM, signal.SIGINT))
    assert job.state.global_step == 5
    assert handlers() == before


def test_the_handlers_are_those_from_before_after_an_error_too():
    before = handlers()
    with StopOnSignal():
        assert handlers() != before
    assert handlers() == before
    with pytest.raises(ValueError, match="an error"), StopOnSignal():
        raise ValueError("an error")
    assert handlers() == before


def test_a_signal_after_the_last_step_is_not_lost(tmp_path, tokenizer):
    job = started(tmp_path, tokenizer, num_train_epochs=1)
    with pytest.raises(KeyboardInterrupt), StopOnSignal():
        signal.raise_signal(signal.SIGINT)

    class AtTheEnd(TrainerCallback):
        def on_epoch_end(self, args, state, control, **kwargs):
            signal.raise_signal(signal.SIGINT)

    stop, _ = stopped(job, AtTheEnd())
    assert stop.interrupted == signal.SIGINT
    assert job.state.global_step == 11


def test_a_thread_leaves_the_handlers_alone():
    before, seen = handlers(), []

    def run():
        with StopOnSignal():
            seen.append(handlers())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_that_is_ignored_stays_ignored():
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `nohup` or `&` in a script set it
    try:
        with StopOnSignal():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, kept)


def runs(folder: Path, processes: int, *kinds: str) -> list[dict]:
    """The records of the runs of survival_job.py after the undisturbed one."""
    job = [sys.executable, str(HERE / "survival_job.py"), str(folder), str(processes), *kinds]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(job, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"run"')]
    assert len(found) == 1 + len(kinds), done.stderr[-3000:]
    assert found[0]["ends"] == found[-1]["ends"] == [0] * processes, done.stderr[-3000:]
    return found[1:]


def largest_difference(folder: Path) -> float:
    """Between the final weights of the undisturbed run and those of the others together."""
    found, expected = (load_file(folder / name / "final.safetensors") for name in ("disturbed", "undisturbed"))
    assert found.keys() == expected.keys()
    return max((found[name] - expected[name]).abs().max().item() for name in expected)


@pytest.mark.slow
def test_a_run_killed_at_five_random_moments_ends_with_the_same_weights(tmp_path):
    chance = random.Random(time.time_ns())
    moments = [f"kill={chance.uniform(0, 0.2):.4f}" for _ in range(4)]
    moments.insert(2, "kill_writing")
    *killed, _ = runs(tmp_path, 1, *moments, "whole")
    assert [run["ends"] for run in killed] == [[-signal.SIGKILL]] * 5, killed
    assert None in killed[-1]["left"].values(), "it goes on from a checkpoint"
    assert any(killed[2]["left"].values()), "one was killed while it wrote"
    assert largest_difference(tmp_path) == 0


@pytest.mark.slow
def test_two_processes_killed_and_stopped_end_with_the_same_weights(tmp_path):
    *killed, stopped, _ = runs(tmp_path, 2, "kill=0.2", "kill_writing", "interrupt=0.2", "whole")
    assert [run["ends"] for run in killed] == [[-signal.SIGKILL] * 2] * 2, killed
    assert stopped["ends"] == [128 + signal.SIGINT] * 2, "a signal to one process stops both"
    assert None in stopped["left"].values()
    assert largest_difference(tmp_path) < 1e-6
