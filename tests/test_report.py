"""Tables, samples and predictions: what a person reads is what the model said."""

import pytest
from conftest import tiny_bert

from hf_multitask.prediction import predict_probabilities
from hf_multitask.publishing.report import describe_samples
from hf_multitask.tables import format_table


def test_a_cell_cannot_break_its_table():
    table = format_table(["label", "rows"], [["a|b\nc", 1]])
    assert table.splitlines()[2] == "| a\\|b c |    1 |"


def test_probabilities_are_the_softmax_of_the_logits_of_the_text_or_the_pair(tokenizer):
    model = tiny_bert(initializer_range=0.5)
    texts = [("good film",), ("good film", "the council says no")]
    answers = predict_probabilities(model, tokenizer, texts, 32)
    for text, answer in zip(texts, answers, strict=True):
        expected = model(**tokenizer(*text, return_tensors="pt")).logits["topic"].softmax(-1)[0].tolist()
        assert list(answer["topic"].values()) == pytest.approx(expected)
    assert answers[0] != answers[1]


def test_predicting_leaves_the_model_in_its_mode(tokenizer):
    model = tiny_bert().train()
    predict_probabilities(model, tokenizer, [("good film",)], 32)
    assert model.training


def test_samples_name_the_likeliest_label_first():
    text = describe_samples([(("one", "two"), {"mood": {"bad": 0.25, "good": 0.75}})])
    assert text.splitlines() == ["> one / two", "  mood  good 75.0%   bad 25.0%"]
