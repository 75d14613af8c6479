"""A task that no longer improves leaves the loss, and keeps its best head."""

import copy
import logging
from contextlib import ExitStack

import pytest
import torch
from conftest import TASKS, tiny_bert
from test_trainer import InterruptsAfter, trainer
from transformers import TrainerControl, TrainerState

from hf_multitask.training.task_stopping import TaskStopping

METRICS = {"topic": ("eval_topic_accuracy", True), "sentiment": ("eval_sentiment_loss", False)}
EVERY_EPOCH = {"task_patience": 2, "eval_strategy": "epoch"}


@pytest.fixture
def begun():
    """Makes what stops tasks, in a run that has begun."""
    with ExitStack() as runs:

        def make(patience):
            stopping = TaskStopping(METRICS, patience)
            runs.enter_context(stopping.training())
            return stopping

        yield make


def evaluated(stopping, model, topic, sentiment, control=None):
    metrics = {"eval_topic_accuracy": topic, "eval_sentiment_loss": sentiment}
    control = control or TrainerControl()
    stopping.on_evaluate(None, TrainerState(), control, metrics=metrics, model=model)
    return control


def begin_step(stopping, model):
    stopping.on_step_begin(None, TrainerState(), TrainerControl(), model=model)


def mark(model, value):
    """Set every weight of every head to `value`."""
    for parameter in model.heads.parameters():
        torch.nn.init.constant_(parameter, value)


def test_a_task_stops_after_so_many_evaluations_without_an_improvement(begun, caplog):
    stopping, model = begun(patience=2), tiny_bert()
    with caplog.at_level(logging.INFO, logger="hf_multitask"):
        for topic, sentiment in [(0.5, 1.0), (0.4, 0.9), (0.5, 0.8)]:
            evaluated(stopping, model, topic, sentiment)
    assert stopping.stopped == {"topic"}
    assert "Task 'topic' stopped at step 0: 2 evaluations without a better eval_topic_accuracy" in caplog.text


def test_an_improvement_ends_the_waiting(begun):
    stopping, model = begun(patience=2), tiny_bert()
    for topic in (0.5, 0.4, 0.6, 0.5):
        evaluated(stopping, model, topic, sentiment=-topic)
    assert stopping.stopped == set()


def test_lower_is_better_where_the_metric_says_so(begun):
    stopping, model = begun(patience=1), tiny_bert()
    for topic, sentiment in [(0.1, 1.0), (0.2, 2.0)]:
        evaluated(stopping, model, topic, sentiment)
    assert stopping.stopped == {"sentiment"}


def test_a_stopped_task_gets_its_best_head_back_and_the_others_keep_theirs(begun):
    stopping, model = begun(patience=1), tiny_bert()
    mark(model, 1.0)
    evaluated(stopping, model, 0.9, 0.9)
    mark(model, 2.0)
    evaluated(stopping, model, 0.8, 0.8)
    assert model.heads["topic"].weight.unique().tolist() == [2.0], "what was evaluated is what may be saved"
    begin_step(stopping, model)
    assert model.heads["topic"].weight.unique().tolist() == [1.0]
    assert model.heads["sentiment"].weight.unique().tolist() == [2.0]


def test_the_run_ends_when_every_task_has_stopped(begun):
    stopping, model = begun(patience=1), tiny_bert()
    assert not evaluated(stopping, model, 0.5, 0.5).should_training_stop
    assert evaluated(stopping, model, 0.5, 0.5).should_training_stop


@pytest.mark.parametrize("evaluations", [0, 1, 2, 3])
def test_a_resumed_run_goes_on_as_if_it_had_not_been_away(begun, tmp_path, evaluations):
    history = [(0.9, 0.9), (0.8, 0.8), (0.7, 0.95), (0.6, 0.99)]
    whole, resumed, models = begun(patience=2), begun(patience=2), [tiny_bert(), tiny_bert()]
    for number, values in enumerate(history[:evaluations]):
        mark(models[0], number)
        evaluated(whole, models[0], *values)
    whole.save(str(tmp_path))
    resumed.load(str(tmp_path))
    for number, values in enumerate(history[evaluations:], start=evaluations):
        for stopping, model in zip([whole, resumed], models, strict=True):
            begin_step(stopping, model)
            mark(model, number)
            evaluated(stopping, model, *values)
    for stopping, model in zip([whole, resumed], models, strict=True):
        begin_step(stopping, model)
    assert resumed.stopped == whole.stopped == {"topic", "sentiment"}
    for name, parameter in models[0].heads.named_parameters():
        assert torch.equal(parameter, models[1].heads.get_parameter(name))


def test_a_checkpoint_without_it_is_the_beginning(tmp_path):
    stopping = TaskStopping(METRICS, 1)
    stopping.load(str(tmp_path))
    assert stopping.stopped == set()


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_evaluations_after_a_run_stop_no_task_and_change_no_head(tmp_path, tokenizer, is_interrupted):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=4, num_train_epochs=2, **EVERY_EPOCH)
    if is_interrupted:
        job.add_callback(InterruptsAfter(6))  # of 8; the first evaluation was after the fourth
        with pytest.raises(KeyboardInterrupt):
            job.train()
    else:
        job.train()
    stopped, heads = set(job._stopping.stopped), copy.deepcopy(job.model.heads.state_dict())
    for _ in range(3):
        job.evaluate()
    assert job._stopping.stopped == stopped
    for name, weight in job.model.heads.state_dict().items():
        assert torch.equal(weight, heads[name])


STILL = EVERY_EPOCH | {"learning_rate": 0.0, "head_learning_rate": 0.0, "num_train_epochs": 5}
"""A run that learns nothing: the tasks stop after the third evaluation, with four steps between two."""


def test_a_second_run_begins_anew(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=4, **STILL)
    for _ in range(2):
        job.train()
        assert job.state.global_step == 12
        assert job._stopping.stopped == {"topic", "sentiment"}
        assert all("loss/topic" in line for line in job.state.log_history if "loss" in line)


def test_a_run_whose_tasks_had_all_stopped_makes_no_step_when_it_is_resumed(tmp_path, tokenizer):
    trainer(tmp_path, tokenizer, per_device_train_batch_size=4, **STILL, save_strategy="epoch").train()
    resumed = trainer(tmp_path, tokenizer, per_device_train_batch_size=4, **STILL, save_strategy="epoch")
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    assert resumed.state.global_step == 12
    assert {path.name for path in tmp_path.iterdir()} == {f"checkpoint-{step}" for step in (4, 8, 12)}


def test_a_task_without_a_weight_is_not_waited_for(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, tiny_bert(tasks=[TASKS[0], TASKS[1] | {"loss_weight": 0.0}]), **STILL)
    measured, scores = job.compute_metrics, iter(range(9))
    job.compute_metrics = lambda prediction: measured(prediction) | {"sentiment_f1_macro": next(scores)}
    job.train()
    assert job.state.global_step == 3
    assert job._stopping.stopped == {"topic"}
