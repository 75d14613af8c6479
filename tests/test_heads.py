"""What each kind of task computes from an embedding, and what a stranger reads from its logits."""

import numpy as np
import pytest
import torch
from conftest import tiny_bert

from hf_multitask import Task
from hf_multitask.modeling.decoding import decide, probabilities
from hf_multitask.modeling.heads import ContinuationRatio, Units, build_head

GRADES = Task(name="grade", problem_type="ordinal", labels=("low", "mid", "high"))


def test_a_head_is_one_linear_layer_unless_hidden_ones_are_asked_for():
    plain = build_head(Task(name="t", labels=("a", "b")), 8)
    deep = build_head(Task(name="t", labels=("a", "b"), head={"hidden": [5, 4], "dropout": 0.25}), 8)
    assert isinstance(plain, torch.nn.Linear)
    assert [(m.in_features, m.out_features) for m in deep if isinstance(m, torch.nn.Linear)] == [(8, 5), (5, 4), (4, 2)]
    assert [m.p for m in deep if isinstance(m, torch.nn.Dropout)] == [0.25] * 3
    assert sum(isinstance(m, torch.nn.GELU) for m in deep) == 2


def test_ordinal_logits_are_log_probabilities_by_the_continuation_ratio():
    z = torch.tensor([[0.4, -1.2]])
    s0, s1 = torch.sigmoid(z[0]).tolist()
    found = ContinuationRatio()(z).exp()[0]
    torch.testing.assert_close(found, torch.tensor([1 - s0, s0 * (1 - s1), s0 * s1]))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_ordinal_probabilities_sum_to_one_and_stay_finite(scale):
    logits = ContinuationRatio()(torch.randn(50, 4) * scale)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(50))


def test_an_ordinal_answer_is_the_median_class():
    logits = torch.tensor([[0.45, 0.10, 0.45], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]]).log()
    assert decide(GRADES, logits).tolist() == [1, 0, 2]


def test_a_regression_answers_in_the_units_of_the_user():
    task = Task(name="year", problem_type="regression", target_mean=[2000.0], target_std=[10.0])
    head = build_head(task, 3)
    embedding = torch.randn(4, 3)
    torch.testing.assert_close(head(embedding), head[0](embedding) * 10 + 2000)


def test_units_are_float32_whatever_the_head_computes_in():
    assert Units((2000.0,), (1.0,))(torch.tensor([[0.5]], dtype=torch.bfloat16)).tolist() == [[2000.5]]


def test_probabilities_are_divided_by_the_temperature():
    single = Task(name="t", labels=("a", "b"), temperature=2.0)
    several = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"), temperature=2.0)
    logits = np.array([[2.0, -4.0]])
    halved = torch.tensor([[1.0, -2.0]])
    np.testing.assert_allclose(probabilities(single, logits), halved.softmax(-1), rtol=1e-6)
    np.testing.assert_allclose(probabilities(several, logits), halved.sigmoid(), rtol=1e-6)


def test_probabilities_of_large_logits_are_finite():
    single = Task(name="t", labels=("a", "b"))
    several = Task(name="t", problem_type="multi_label_classification", labels=("a", "b"))
    logits = np.array([[3e4, -3e4]], dtype=np.float32)
    assert probabilities(single, logits).tolist() == [[1.0, 0.0]]
    assert probabilities(several, logits).tolist() == [[1.0, 0.0]]


def test_a_label_applies_from_its_own_threshold_on():
    task = Task(name="t", problem_type="multi_label_classification", labels=("a", "b", "c"), thresholds=[0.5, 0.9, 0.1])
    logits = torch.logit(torch.tensor([[0.5, 0.8, 0.2], [0.4, 0.95, 0.05]], dtype=torch.float64))
    assert decide(task, logits + 1e-6).tolist() == [[True, False, True], [False, True, False]]


def test_numbers_have_no_probabilities():
    with pytest.raises(ValueError, match=r"Task 'score': probabilities need a task with labels, found 'regression'"):
        probabilities(Task(name="score", problem_type="regression"), torch.zeros(1, 1))


ALL_KINDS = [
    {"name": "topic", "labels": ["a", "b", "c"]},
    {"name": "grade", "problem_type": "ordinal", "labels": ["low", "mid", "high"]},
    {"name": "tags", "problem_type": "multi_label_classification", "labels": ["x", "y"]},
    {"name": "score", "problem_type": "regression"},
    {"name": "entity", "problem_type": "token_classification", "labels": ["O", "B-A", "I-A"]},
    {"name": "alike", "problem_type": "similarity"},
]


def inputs():
    return {
        "input_ids": torch.randint(4, 20, (3, 7)),
        "attention_mask": torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4]),
    }


def pair_inputs():
    ids, mask = torch.randint(4, 20, (2, 9)), torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    return {"pair_input_ids": ids, "pair_attention_mask": mask, "pair_rows": torch.tensor([2, 0])}


@torch.no_grad()
def test_one_pass_answers_every_kind_of_task():
    model = tiny_bert(tasks=ALL_KINDS)
    logits = model(**inputs(), **pair_inputs()).logits
    assert {name: tuple(values.shape) for name, values in logits.items()} == {
        "topic": (3, 3),
        "grade": (3, 3),
        "tags": (3, 2),
        "score": (3, 1),
        "entity": (3, 7, 3),
        "alike": (3, 1),
    }


@torch.no_grad()
def test_similarity_is_the_cosine_of_the_two_embeddings_each_as_if_read_alone():
    model = tiny_bert(tasks=ALL_KINDS)
    texts, pairs = inputs(), pair_inputs()
    found = model(**texts, **pairs)
    first = model(**texts).sentence_embedding
    second = model(pairs["pair_input_ids"], pairs["pair_attention_mask"]).sentence_embedding
    torch.testing.assert_close(found.sentence_embedding, first)
    expected = torch.cosine_similarity(first[[2, 0]], second)
    torch.testing.assert_close(found.logits["alike"][[2, 0], 0], expected)
    assert found.logits["alike"][1].isnan().all()


@torch.no_grad()
def test_a_pair_read_jointly_is_read_the_same_beside_a_pair_read_apart():
    model = tiny_bert(tasks=ALL_KINDS)
    texts = inputs() | {"token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 3)}
    alone, beside = model(**texts).logits, model(**texts, **pair_inputs()).logits
    torch.testing.assert_close(beside["topic"], alone["topic"])
    torch.testing.assert_close(beside["entity"], alone["entity"])
    apart = model(**pair_inputs() | {"input_ids": texts["input_ids"], "attention_mask": texts["attention_mask"]}).logits
    assert not torch.allclose(apart["topic"], beside["topic"])


def test_texts_without_a_partner_leave_the_gradient_of_a_similarity_finite():
    model = tiny_bert(tasks=ALL_KINDS)
    labels = {"alike": torch.tensor([[0.2], [float("nan")], [0.9]])}
    model(**inputs(), **pair_inputs(), labels=labels).loss.backward()
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_an_embedding_computed_earlier_gives_the_same_logits():
    model = tiny_bert(tasks=ALL_KINDS)
    whole = model(**inputs())
    again = model(sentence_embedding=whole.sentence_embedding)
    assert set(again.logits) == {"topic", "grade", "tags", "score"}
    for name, logits in again.logits.items():
        assert torch.equal(logits, whole.logits[name])


@torch.no_grad()
def test_the_model_gives_calibrated_probabilities_and_answers():
    model = tiny_bert(tasks=ALL_KINDS)
    logits = model(**inputs(), **pair_inputs()).logits
    assert set(model.probabilities(logits)) == {"topic", "grade", "tags", "entity"}
    assert set(model.decide(logits)) == {task["name"] for task in ALL_KINDS}


def test_every_kind_survives_a_round_trip(tmp_path):
    tasks = [*ALL_KINDS]
    tasks[3] = tasks[3] | {"target_mean": [3.0], "target_std": [2.0], "primary_metric": {"f1": "x"}}
    tasks[0] = tasks[0] | {"class_weights": {"b": 2}, "head": {"hidden": [6], "dropout": 0.1}, "temperature": 1.5}
    model = tiny_bert(tasks=tasks)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    assert loaded.config.tasks == model.config.tasks
    batch = inputs() | pair_inputs()
    for name, logits in model(**batch).logits.items():
        torch.testing.assert_close(loaded(**batch).logits[name], logits, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"problem_type": "regression", "class_weights": [1.0]}, "class_weights must be left out for .* 'regression'"),
        ({"problem_type": "similarity", "labels": ["a"]}, "labels must be left out for problem_type 'similarity'"),
        ({"labels": ["a", "b"], "thresholds": [0.5, 0.5]}, "thresholds must be left out"),
        ({"labels": ["a", "b"], "class_weights": [1.0]}, "class_weights must be a list of 2 numbers"),
        ({"labels": ["a", "b"], "class_weights": {"c": 1.0}}, r"class_weights must name labels .* found \['c'\]"),
        ({"labels": ["a", "b"], "class_weights": "balanced"}, "computed from the training rows"),
        ({"labels": ["a", "b"], "label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"labels": ["a", "b"], "head": {"hidden": [0]}}, "head.hidden must be a list of sizes"),
        ({"labels": ["a", "b"], "head": {"width": 3}}, r"head: its keys must be among \['hidden', 'dropout'\]"),
        ({"labels": ["a", "b"], "metrics": [3]}, "a metric must be a name"),
        ({"problem_type": "similarity", "score_range": [5, 1]}, "score_range must be \\[lowest, highest\\]"),
        ({"problem_type": "regression", "target_std": [0.0]}, "target_std must be a list of finite numbers"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Task(name="t", **values)
