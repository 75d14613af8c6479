"""A resumed run counts each evaluation once, and waits as long as it is told to itself."""

import pytest
from conftest import tiny_bert
from test_trainer import trainer
from transformers import EarlyStoppingCallback

EVERY_EPOCH = {"num_train_epochs": 6, "eval_strategy": "epoch", "save_strategy": "epoch"}
"""One step an epoch, so that the six evaluations come after the steps 1 to 6."""


def scored(tmp_path, tokenizer, scores, **arguments):
    """A Trainer whose evaluation after each step is said to have these scores, that at the start being the first."""
    job = trainer(tmp_path, tokenizer, tiny_bert(), **EVERY_EPOCH, **arguments)
    measured = job.compute_metrics

    def compute_metrics(prediction):
        names = ("average", "topic_f1_macro", "sentiment_f1_macro")
        return measured(prediction) | dict.fromkeys(names, scores[job.state.global_step])

    job.compute_metrics = compute_metrics
    return job


@pytest.mark.parametrize("patience", ["task_patience", "early_stopping_patience"])
def test_a_resumed_run_does_not_count_the_evaluation_of_its_start(tmp_path, tokenizer, patience):
    scores = (0.1, 0.3, 0.2, 0.4, 0.5, 0.6, 0.7)
    how = {patience: 2, "eval_on_start": True}
    scored(tmp_path, tokenizer, scores, **how).train()
    resumed = scored(tmp_path, tokenizer, scores, **how)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == 6
    assert resumed.args.eval_on_start


WORSE = (None, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@pytest.mark.parametrize(
    ("patience", "step", "end"), [(4, 2, 5), (4, 3, 5), (3, 3, 4), (9, 1, 6), (2, 3, 3), (1, 2, 2)]
)
def test_early_stopping_waits_as_long_as_the_resumed_run_is_told(tmp_path, tokenizer, patience, step, end):
    job = scored(tmp_path, tokenizer, WORSE, early_stopping_patience=2)
    job.train()
    assert job.state.global_step == 3
    resumed = scored(tmp_path, tokenizer, WORSE, early_stopping_patience=patience)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    assert resumed.state.global_step == end


def test_early_stopping_of_the_users_own_waits_as_long_as_it_is_told_too(tmp_path, tokenizer):
    how = {"load_best_model_at_end": True, "restore_callback_states_from_checkpoint": True}
    for patience, checkpoint, end in [(2, None, 3), (4, "checkpoint-2", 5)]:
        job = scored(tmp_path, tokenizer, WORSE, **how)
        job.add_callback(EarlyStoppingCallback(patience))
        job.train(resume_from_checkpoint=checkpoint and str(tmp_path / checkpoint))
        assert job.state.global_step == end
