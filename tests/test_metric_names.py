"""Which metrics may be named, and what is said of those that may not."""

import datasets
import evaluate
import numpy as np
import pytest
from transformers import EvalPrediction

from hf_multitask import MultiTaskMetrics, Task
from hf_multitask.evaluation import hub_metric
from hf_multitask.evaluation.registry import DEFAULTS, known_metrics, metrics_of, primary_of

KINDS = {
    "single_label_classification": {"labels": ("a", "b")},
    "ordinal": {"labels": ("low", "high")},
    "multi_label_classification": {"labels": ("a", "b")},
    "token_classification": {"labels": ("NOUN", "VERB")},
    "regression": {},
    "similarity": {},
}


class Mean(evaluate.Metric):
    """Stands for a metric of the Hub: the share of ones among the predictions, and the number of rows."""

    def _info(self):
        value = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references):
        if self.config_name == "broken":
            raise TypeError("no such average")
        return {"mean": float(np.mean(predictions)), "rows": len(predictions)}


class Spans(evaluate.Metric):
    """Stands for seqeval: takes each text's labels by name, and returns several values."""

    def _info(self):
        value = datasets.List(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references):
        self.seen = (list(predictions), list(references))
        return {"overall_f1": 0.5, "overall_recall": 0.25}


@pytest.fixture
def hub(monkeypatch):
    """Lets `evaluate` load `mean`, `broken` and `spans`, and nothing else."""
    spans = Spans(keep_in_memory=True)

    def load(name, config_name, module_type, keep_in_memory):
        if name == "spans":
            return spans
        if name not in ("mean", "broken"):
            raise FileNotFoundError(f"Couldn't find {name}.")
        return Mean(config_name=name, keep_in_memory=keep_in_memory)

    monkeypatch.setattr(evaluate, "load", load)
    hub_metric._load.cache_clear()
    yield spans
    hub_metric._load.cache_clear()


def topic(**settings):
    return Task(name="topic", labels=("Irony", "News"), **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_metrics_of_each_kind_exist(kind):
    task = Task(name="t", problem_type=kind, **KINDS[kind])
    assert [metric.name for metric in metrics_of(task)] == list(DEFAULTS[kind])


def test_a_metric_has_the_name_it_is_known_by():
    for kind, settings in KINDS.items():
        known = known_metrics(Task(name="t", problem_type=kind, **settings))
        assert all(name == metric.name and metric.title for name, metric in known.items())


def test_errors_are_better_lower_and_all_else_higher():
    lower = set()
    for kind, settings in KINDS.items():
        known = known_metrics(Task(name="t", problem_type=kind, **settings))
        lower |= {metric.name for metric in known.values() if not metric.higher_is_better}
    assert lower == {"rmse", "mae", "ece"}


def test_the_f1_of_one_class_may_judge_a_task():
    task = topic(primary_metric={"f1": "Irony"})
    assert primary_of(task).title == "F1 of Irony"
    found = MultiTaskMetrics([task])(
        EvalPrediction(
            predictions={"topic": np.eye(2, dtype=np.float32)[[0, 0, 1]]}, label_ids={"topic": np.array([0, 1, 1])}
        )
    )
    assert found["topic_f1:Irony"] == found["average"] == pytest.approx(2 / 3)


def test_named_metrics_take_the_place_of_the_default_ones():
    names = [metric.name for metric in metrics_of(topic(metrics=["ece", "recall:News"]))]
    assert names == ["f1_macro", "ece", "recall:News"]  # the primary one is always there


@pytest.mark.parametrize("key", ["metrics", "primary_metric"])
def test_the_f1_of_no_class_is_refused_with_the_classes_there_are(key):
    with pytest.raises(ValueError, match=r"one of \['f1:Irony', 'f1:News'\].*found 'f1:NoSuchLabel'"):
        metrics_of(topic(**{key: "f1:NoSuchLabel"}))


def test_an_unknown_primary_metric_is_refused(hub):
    with pytest.raises(ValueError, match=r"Task 'topic': primary_metric must be one of .*'f1_macro'.*found 'mean'"):
        metrics_of(topic(primary_metric="mean"))


def test_a_metric_of_another_kind_of_task_is_refused(hub):
    with pytest.raises(ValueError, match="found 'pearson'"):
        metrics_of(topic(metrics=["pearson"]))


def test_a_name_that_evaluate_does_not_know_is_refused(hub):
    with pytest.raises(ValueError, match=r"found 'f1_marco', which evaluate cannot load: Couldn't find f1_marco"):
        metrics_of(topic(metrics=["f1_marco"]))


@pytest.mark.parametrize("name", ["someone/mean", "./mean", "mean.py/..", "https://mean"])
def test_a_name_that_would_run_code_of_strangers_is_refused(monkeypatch, name):
    monkeypatch.setattr(evaluate, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    with pytest.raises(ValueError, match="one of the evaluate library's own"):
        metrics_of(topic(metrics=[name]))


def test_a_metric_of_evaluate_is_reported(hub):
    metrics = MultiTaskMetrics([topic(metrics=["mean"])])
    logits = {"topic": np.eye(2, dtype=np.float32)[[1, 1, 0, 1]]}
    found = metrics(EvalPrediction(predictions=logits, label_ids={"topic": np.array([1, 0, 0, -100])}))
    assert found["topic_mean"] == pytest.approx(2 / 3)


def test_one_of_several_values_may_be_named(hub):
    metrics = MultiTaskMetrics([topic(metrics=["mean.rows"])])
    logits = {"topic": np.eye(2, dtype=np.float32)[[1, 1, 0]]}
    found = metrics(EvalPrediction(predictions=logits, label_ids={"topic": np.array([1, 0, 0])}))
    assert found["topic_mean.rows"] == 3


def test_a_value_that_the_metric_does_not_return_is_refused_before_training(hub):
    with pytest.raises(ValueError, match=r"\['mean', 'rows'\]"):
        metrics_of(topic(metrics=["mean.median"]))


def test_a_metric_of_sequences_gets_the_names_of_each_texts_labels(hub):
    task = Task(
        name="t", problem_type="token_classification", labels=("NOUN", "VERB"), metrics=["spans.overall_recall"]
    )
    logits = {"t": np.eye(2, dtype=np.float32)[[[0, 1, 1], [1, 0, 0]]]}
    labels = {"t": np.array([[0, -100, 1], [0, -100, -100]])}
    found = MultiTaskMetrics([task])(EvalPrediction(predictions=logits, label_ids=labels))
    assert found["t_spans.overall_recall"] == 0.25
    assert hub.seen == ([["NOUN", "VERB"], ["VERB"]], [["NOUN", "VERB"], ["NOUN"]])


def test_a_metric_of_several_values_must_be_told_which(hub):
    task = Task(name="t", problem_type="token_classification", labels=("NOUN", "VERB"), metrics=["spans"])
    with pytest.raises(ValueError, match=r"\['overall_f1', 'overall_recall'\]\. Name one of these, as in spans"):
        metrics_of(task)


def test_a_metric_that_cannot_take_the_answers_is_refused_before_training(hub):
    with pytest.raises(ValueError, match=r"'broken' of evaluate must take .*found: no such average"):
        metrics_of(topic(metrics=["broken"]))


def test_average_precision_asked_for_by_name_needs_two_scores():
    scores = {"logits": np.array([[0.1], [0.2]], dtype=np.float32), "targets": np.array([[0.0], [0.5]])}
    prediction = EvalPrediction(predictions={"t": scores["logits"]}, label_ids={"t": scores["targets"]})
    task = {"name": "t", "problem_type": "similarity"}
    assert "t_average_precision" not in MultiTaskMetrics([Task(**task)])(prediction)
    with pytest.raises(ValueError, match="average_precision needs targets that are the lowest or the highest score"):
        MultiTaskMetrics([Task(**task, primary_metric="average_precision")])(prediction)
