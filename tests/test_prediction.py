"""Predictions are the model's own answers to each text, whatever it was batched with."""

import pytest
import torch
from conftest import tiny_bert
from records import TASKS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_multitask import Task
from hf_multitask.prediction import predict

TEXTS = [
    ("good film",),
    ("the council says no , never again today",),
    ("bad",),
    ("good film", "council vote"),
    ("", "song"),
]


@pytest.fixture
def kinds():
    """A model with a task of every kind, whose answers differ from text to text."""
    return tiny_bert(tasks=TASKS, initializer_range=0.5)


def test_every_kind_of_answer_is_the_models_own(kinds, tokenizer):
    answers = predict(kinds, tokenizer, TEXTS, 32)
    for text, answer in zip(TEXTS, answers, strict=True):
        logits = kinds(**tokenizer(*text, return_tensors="pt")).logits
        chances = kinds.probabilities(logits)
        decided = kinds.decide(logits)
        for name in ("topic", "mood", "stars", "flags"):
            labels = kinds.config.task(name).labels
            assert answer[name]["probabilities"] == pytest.approx(
                dict(zip(labels, chances[name][0].tolist(), strict=True)), abs=1e-5
            )
            if name == "flags":
                assert answer[name]["labels"] == [labels[place] for place in decided[name][0].nonzero().flatten()]
            else:
                assert answer[name]["label"] == labels[decided[name][0]]
        assert answer["length"]["value"] == pytest.approx(logits["length"].item(), rel=1e-4)
    assert len({answer["length"]["value"] for answer in answers}) == len(TEXTS)


def test_answers_do_not_depend_on_the_size_of_the_batches(kinds, tokenizer):
    one, all_ = (predict(kinds, tokenizer, TEXTS, 32, batch_size=size) for size in (1, 32))
    for first, second in zip(one, all_, strict=True):
        assert first.keys() == second.keys()
        assert first["topic"]["probabilities"] == pytest.approx(second["topic"]["probabilities"], abs=1e-5)
        assert [word["word"] for word in first["places"]["words"]] == [
            word["word"] for word in second["places"]["words"]
        ]


def test_a_batch_has_texts_of_similar_length(kinds, tokenizer):
    shapes = []
    kinds.backbone.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    predict(kinds, tokenizer, [("good " * length,) for length in (9, 1, 8, 2)], 32, batch_size=2)
    assert shapes == [(2, 4), (2, 11)]


def test_probabilities_are_calibrated(tokenizer):
    tasks = [Task(name="topic", labels=("a", "b"), temperature=4.0), Task(name="flags", labels=("x", "y"))]
    model = tiny_bert(tasks=tasks, initializer_range=0.5)
    (answer,) = predict(model, tokenizer, [("good film",)], 32)
    logits = model(**tokenizer("good film", return_tensors="pt")).logits["topic"][0]
    assert list(answer["topic"]["probabilities"].values()) == pytest.approx((logits / 4.0).softmax(-1).tolist())


def test_labels_apply_from_their_thresholds_on(tokenizer):
    several = {"name": "flags", "problem_type": "multi_label_classification", "labels": ["x", "y"]}
    for thresholds, given in (((0.0, 1.0), ["x"]), ((1.0, 0.0), ["y"]), ((0.0, 0.0), ["x", "y"])):
        model = tiny_bert(tasks=[several | {"thresholds": thresholds}])
        assert predict(model, tokenizer, [("good",)], 32)[0]["flags"]["labels"] == given


def test_an_ordinal_answer_is_the_median_class(tokenizer):
    model = tiny_bert(tasks=[{"name": "stars", "problem_type": "ordinal", "labels": ["1", "2", "3"]}])
    head = model.heads["stars"][0]
    with torch.no_grad():  # p = 0.4, 0.2, 0.4
        head.weight.zero_()
        head.bias.copy_(torch.logit(torch.tensor([0.6, 2 / 3])))
    answer = predict(model, tokenizer, [("good",)], 32)[0]["stars"]
    assert answer["probabilities"] == pytest.approx({"1": 0.4, "2": 0.2, "3": 0.4})
    assert answer["label"] == "2"


def test_several_numbers_have_their_names_and_the_users_units(tokenizer):
    task = {"name": "affect", "problem_type": "regression", "labels": ["joy", "fear"], "target_mean": [100, -100]}
    (answer,) = predict(tiny_bert(tasks=[task]), tokenizer, [("good",)], 32)
    assert answer["affect"]["values"] == pytest.approx({"joy": 100, "fear": -100}, abs=5)


def test_a_similarity_is_the_cosine_of_two_texts_read_apart(kinds, tokenizer):
    answers = predict(kinds, tokenizer, TEXTS, 32)
    assert ["alike" in answer for answer in answers] == [False, False, False, True, True]
    first, second = (
        kinds(**tokenizer(text, return_tensors="pt")).sentence_embedding for text in ("good film", "council vote")
    )
    assert answers[3]["alike"]["cosine"] == pytest.approx(torch.cosine_similarity(first, second).item(), abs=1e-5)


def test_words_have_their_characters_and_the_label_of_their_first_token(kinds, tokenizer):
    text = "the council, again"
    (answer,) = predict(kinds, tokenizer, [(text,)], 32)
    words = answer["places"]["words"]
    assert [word["word"] for word in words] == ["the", "council", ",", "again"]
    assert all(text[word["start"] : word["end"]] == word["word"] for word in words)
    chances = kinds.probabilities(kinds(**tokenizer(text, return_tensors="pt")).logits)["places"][0, 1:-1]
    assert [word["label"] for word in words] == [TASKS[4].labels[place] for place in chances.argmax(-1)]
    assert [word["probability"] for word in words] == pytest.approx(chances.amax(-1).tolist(), abs=1e-5)


def test_a_word_of_several_tokens_is_one_word_with_the_first_ones_label(kinds):
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "coun": 1, "##cil": 2, "vote": 3, "[PAD]": 4}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    (answer,) = predict(kinds, pieces, [("council vote",)], 32)
    words = answer["places"]["words"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [("council", 0, 7), ("vote", 8, 12)]
    chances = kinds.probabilities(kinds(**pieces("council vote", return_tensors="pt")).logits)["places"][0]
    assert [word["probability"] for word in words] == pytest.approx(chances[[0, 2]].amax(-1).tolist(), abs=1e-5)


def test_words_end_at_spaces_where_the_tokenizer_takes_the_text_for_one_word(kinds):
    backend = Tokenizer(models.BPE({"[PAD]": 0, "a": 1, "b": 2, "▁": 3, "▁b": 4, "c": 5}, [("▁", "b")]))
    backend.normalizer = normalizers.Replace(" ", "▁")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    assert set(tokenizer("ac ba").word_ids()) == {0}, "or this test shows nothing"
    (answer,) = predict(kinds, tokenizer, [("ac ba",)], 32)
    words = answer["places"]["words"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [("ac", 0, 2), ("ba", 3, 5)]


def test_a_pair_has_the_words_of_its_first_text(kinds, tokenizer):
    (answer,) = predict(kinds, tokenizer, [("good film", "council vote")], 32)
    assert [word["word"] for word in answer["places"]["words"]] == ["good", "film"]


def test_what_lies_behind_max_length_is_not_read(kinds, tokenizer):
    cut, short = predict(kinds, tokenizer, [("good film council vote",), ("good film",)], 4)
    assert [word["word"] for word in cut["places"]["words"]] == ["good", "film"]
    assert cut["topic"]["probabilities"] == pytest.approx(short["topic"]["probabilities"], abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_predicting_leaves_the_model_in_its_mode(tokenizer, training):
    model = tiny_bert(hidden_dropout_prob=0.5).train(training)
    first, second = (predict(model, tokenizer, [("good film",)], 32) for _ in range(2))
    assert model.training is training
    assert first == second


def test_no_texts_have_no_answers(kinds, tokenizer):
    assert predict(kinds, tokenizer, [], 32) == []


@pytest.mark.parametrize("text", ["ab", (), ("a", "b", "c")])
def test_what_is_neither_a_text_nor_a_pair_is_refused(kinds, tokenizer, text):
    with pytest.raises(ValueError, match="a tuple of one string or, for a pair, of two, found"):
        predict(kinds, tokenizer, [text], 32)


def test_words_need_a_fast_tokenizer(kinds, tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match="Labels of words need a fast tokenizer"):
        predict(kinds, tokenizer, TEXTS, 32)
