"""The best checkpoint is chosen by a metric that there will be, and by the way that it is good."""

import pytest
from conftest import tiny_bert
from datasets import Dataset
from test_trainer import rows

from hf_multitask import MultiTaskMetrics, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize
from hf_multitask.training.description import chosen_by

BEST = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}


@pytest.fixture
def make(tmp_path, tokenizer):
    """Makes a Trainer of rows that are evaluated under these names, or under none, by metrics of one's own or not."""
    data = tokenize(Dataset.from_list(rows()), tokenizer, 32)

    def made(*names, compute_metrics=None, args=None, **arguments):
        how = {"per_device_train_batch_size": 16, "num_train_epochs": 2, "use_cpu": True, "disable_tqdm": True}
        args = args or MultiTaskTrainingArguments(str(tmp_path), **{**how, **BEST, **arguments})
        return MultiTaskTrainer(
            tiny_bert(),
            args,
            processing_class=tokenizer,
            train_dataset=data,
            eval_dataset=dict.fromkeys(names, data) if names else data,
            compute_metrics=compute_metrics,
        )

    return made


def accuracy(prediction):
    return {"acc": 0.5}


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        *(("eval_a_loss", False), ("a_average", True), ("a_topic_f1_macro", True), ("b_c_sentiment_loss", False)),
        ("b_c_loss", False),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"early_stopping_patience": 1}])
def test_the_best_checkpoint_is_chosen_by_one_of_several_datasets(make, metric, higher, arguments):
    job = make("a", "b", "b_c", metric_for_best_model=metric, **arguments)
    assert job.args.greater_is_better is higher
    job.train()
    assert job.state.best_model_checkpoint


@pytest.mark.parametrize(
    "metric",
    [{}, {"metric_for_best_model": "loss"}, {"metric_for_best_model": "average", "greater_is_better": True}],
)
def test_of_several_datasets_one_must_be_named(make, metric):
    with pytest.raises(ValueError, match=r"must name one of the evaluation datasets \['a', 'b'\].*='a_"):
        make("a", "b", **metric)


def test_several_datasets_that_choose_nothing_need_not_be_named(make):
    make("a", "b", load_best_model_at_end=False).train()


def test_metrics_of_ones_own_choose_where_their_direction_is_told(make):
    job = make(compute_metrics=accuracy, metric_for_best_model="acc", greater_is_better=True)
    job.train()
    assert job.state.best_metric == 0.5
    with pytest.raises(ValueError, match="found 'acc'. Pass greater_is_better=True, or False"):
        make(compute_metrics=accuracy, metric_for_best_model="acc")


def test_with_metrics_of_ones_own_the_loss_chooses_by_default(make):
    job = make(compute_metrics=accuracy)
    assert (job.args.metric_for_best_model, job.args.greater_is_better) == ("loss", False)
    job.train()
    assert job.state.best_model_checkpoint


def test_arguments_that_served_one_trainer_are_open_for_the_next(make):
    args = make(compute_metrics=accuracy).args
    for compute_metrics in (None, MultiTaskMetrics(tiny_bert().config.tasks)):
        job = make(args=args, compute_metrics=compute_metrics)
        assert (job.args.metric_for_best_model, job.args.greater_is_better) == ("average", True)


@pytest.mark.parametrize(("value", "told"), [(0.5, "average"), (float("nan"), "")])
def test_a_card_tells_of_a_best_checkpoint_only_where_one_was_chosen(make, tmp_path, value, told):
    job = make()
    job.compute_metrics = lambda prediction: {"average": value}
    assert chosen_by(job) == ""
    job.train()
    assert chosen_by(job) == told
    job.create_model_card()
    card = (tmp_path / "README.md").read_text()
    assert ("The best checkpoint by the validation metric `average`" in card) is bool(told)
