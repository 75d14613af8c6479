"""A learning rate that follows the evaluations goes down when they become worse, whichever way their metric is good."""

import pytest
from test_trainer import trainer

BEST = {"save_strategy": "epoch", "load_best_model_at_end": True}
EVERY_EPOCH = {"eval_strategy": "epoch", "learning_rate": 1e-3, "head_learning_rate": 1e-2}


def rates(job, averages):
    """The heads' learning rate in each epoch, of a run whose evaluations have these averages."""
    scores, measured = iter(averages), job.compute_metrics
    job.compute_metrics = lambda prediction: measured(prediction) | {"average": next(scores)}
    job.train()
    return [line["lr/heads"] for line in job.state.log_history if "loss" in line]


@pytest.mark.parametrize("scheduler", ["reduce_lr_on_plateau", "greedy"])
@pytest.mark.parametrize(("averages", "falls"), [((0.1, 0.2, 0.3, 0.4), False), ((0.4, 0.3, 0.2, 0.1), True)])
def test_a_rate_falls_where_a_metric_does_of_which_higher_is_better(tmp_path, tokenizer, scheduler, averages, falls):
    how = {"lr_scheduler_type": scheduler, "lr_scheduler_kwargs": {"patience": 0}, "num_train_epochs": 4}
    found = rates(trainer(tmp_path, tokenizer, **how, **BEST, **EVERY_EPOCH), averages)
    assert (found[-1] < found[0]) is falls


@pytest.mark.parametrize(("given", "mode"), [({}, "min"), ({"metric_for_best_model": "worst"}, "max")])
def test_a_rate_goes_the_way_of_its_metric_where_no_checkpoint_is_chosen(tmp_path, tokenizer, given, mode):
    job = trainer(tmp_path, tokenizer, lr_scheduler_type="reduce_lr_on_plateau", **given, **EVERY_EPOCH)
    job.train()
    assert job.lr_scheduler.mode == mode


def test_the_way_of_a_rate_is_the_users_where_he_tells_it(tmp_path, tokenizer):
    how = {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"mode": "min"}}
    job = trainer(tmp_path, tokenizer, **how, **BEST, **EVERY_EPOCH)
    job.train()
    assert (job.lr_scheduler.mode, job.args.greater_is_better) == ("min", True)


def test_the_rates_of_an_encoder_are_lowered_though_they_are_below_what_greedy_lowers_to_by_itself(tmp_path, tokenizer):
    how = {"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": {"patience": 0}, "num_train_epochs": 4}
    slow = EVERY_EPOCH | {"head_learning_rate": 1e-5}
    found = rates(trainer(tmp_path, tokenizer, **how, **BEST, **slow), (0.4, 0.3, 0.2, 0.1))
    assert found[-1] < found[0] == pytest.approx(1e-5)
