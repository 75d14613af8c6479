"""The pipeline gives the model's own answers to each text, whatever it was batched with."""

import itertools
import math

import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import make_tokenizer, tiny_bert
from datasets import Dataset
from records import TASKS, record
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import CanineTokenizer, PreTrainedTokenizerFast, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from hf_multitask import Task
from hf_multitask.data.tokenization import tokenize
from hf_multitask.modeling import batching
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.modeling.reading import cut_places
from hf_multitask.modeling.reading import tokenize as read_tokens
from hf_multitask.modeling.words import find_words
from hf_multitask.publishing.card_metadata import card_metadata

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


@pytest.fixture
def pipe(kinds, tokenizer):
    return MultiTaskPipeline(model=kinds, tokenizer=tokenizer, device="cpu")


def pipe_of(tokenizer, *tasks, **overrides):
    model = tiny_bert(tasks=tasks, **overrides)
    return MultiTaskPipeline(model=model, tokenizer=tokenizer, device="cpu")


def by_label(scored):
    return {part["label"]: part["score"] for part in scored}


def test_every_kind_of_answer_is_the_models_own(pipe, kinds, tokenizer):
    for text, answer, scores in zip(TEXTS, pipe(TEXTS), pipe(TEXTS, top_k=None), strict=True):
        logits = kinds(**tokenizer(*text, return_tensors="pt")).logits
        chances, decided = kinds.probabilities(logits), kinds.decide(logits)
        for name in ("topic", "mood", "stars", "flags"):
            labels = kinds.config.task(name).labels
            expected = dict(zip(labels, chances[name][0].tolist(), strict=True))
            assert by_label(scores[name]) == pytest.approx(expected, abs=1e-5)
            found = [part["score"] for part in scores[name]]
            assert found == sorted(found, reverse=True)
            if name == "flags":
                given = {labels[place] for place in decided[name][0].nonzero().flatten()}
                assert by_label(answer[name]) == {label: by_label(scores[name])[label] for label in given}
            else:
                label = labels[decided[name][0]]
                assert answer[name] == {"label": label, "score": by_label(scores[name])[label]}
        assert answer["length"]["score"] == pytest.approx(logits["length"].item(), rel=1e-4)
    assert len({answer["length"]["score"] for answer in pipe(TEXTS)}) == len(TEXTS)


def test_a_text_has_one_answer_however_it_is_written(pipe):
    alone = pipe("good film")
    assert alone.keys() == {"topic", "mood", "stars", "flags", "places", "length"}
    assert pipe(("good film",)) == pipe({"text": "good film", "other": 1}) == pipe(["good film"])[0] == alone
    pair = pipe(("good film", "council vote"))
    assert pair.keys() == alone.keys() | {"alike"}
    assert pipe({"text": "good film", "text_pair": "council vote"}) == pair
    assert pipe([["good film", "council vote"]]) == [pair]


def test_answers_do_not_depend_on_the_size_of_the_batches(pipe):
    one, all_ = (pipe(TEXTS, batch_size=size, top_k=None) for size in (1, 32))
    for first, second in zip(one, all_, strict=True):
        assert first.keys() == second.keys()
        assert by_label(first["topic"]) == pytest.approx(by_label(second["topic"]), abs=1e-5)
        assert [word["word"] for word in first["places"]] == [word["word"] for word in second["places"]]


def test_a_batch_has_texts_of_similar_length_the_longest_first(pipe, kinds):
    shapes = []
    kinds.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    pipe([("good " * length,) for length in (9, 1, 8, 2)], batch_size=2)
    assert shapes == [(2, 11), (2, 4)]


def test_a_stream_is_answered_in_its_order_while_it_is_read(pipe, monkeypatch):
    monkeypatch.setattr(batching, "WINDOW", 8)
    read = []

    def texts():
        for index in range(100):
            read.append(index)
            yield "good " * (1 + index * 7 % 13)

    answers = pipe(texts(), batch_size=2)
    found, ahead = [], []
    for answer in answers:
        ahead.append(len(read) - len(found))
        found.append(answer["length"]["score"])
    assert ahead[0] == 2, "the first batch is answered at once"
    assert max(ahead) == 2 * 8, "no more than a window is read ahead"
    expected = [answer["length"]["score"] for answer in pipe(["good " * (1 + index * 7 % 13) for index in range(13)])]
    assert found == pytest.approx([expected[index % 13] for index in range(100)], rel=1e-4)


def test_with_single_texts_a_stream_may_wait_for_each_answer(pipe):
    told = ["good film"]

    def texts():
        for count in range(1, 4):
            yield told[-1]
            assert len(told) == count + 1, "it was answered"

    for answer in pipe(texts(), batch_size=1):
        told.append(f"song {answer['topic']['label']}")  # noqa: PERF401 - the stream waits for it
    assert len(told) == 4


def test_what_comes_before_a_text_that_cannot_be_read_is_answered(pipe):
    def texts():
        yield from ["good film"] * 7
        yield None

    answers = pipe(texts(), batch_size=2)
    assert [next(answers)["topic"] for _ in range(7)] == [pipe("good film")["topic"]] * 7
    with pytest.raises(ValueError, match="A text must be a string"):
        next(answers)


def test_a_column_of_a_data_set_streams(pipe):
    rows = Dataset.from_dict({"text": ["good film", "bad"], "text_pair": ["song", "vote"]})
    answers = pipe(rows["text"])
    assert iter(answers) is answers
    assert list(answers) == pipe(["good film", "bad"])
    assert list(pipe(rows)) == pipe([("good film", "song"), ("bad", "vote")])
    assert list(pipe(rows.to_iterable_dataset())) == list(pipe(rows))


def test_a_data_set_of_torch_is_read_to_its_length(pipe):
    class Circle(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, place):
            return ["good film", "bad"][place % 2]

    assert list(itertools.islice(pipe(Circle()), 9)) == pipe(["good film", "bad", "good film"])
    rows = Dataset.from_dict({"text": ["good film", "bad"]})
    assert list(pipe(KeyDataset(rows, "text"))) == pipe(["good film", "bad"])


def test_tasks_are_chosen_in_the_call_or_when_the_pipeline_is_made(pipe, kinds, tokenizer):
    assert pipe("good", tasks=["mood", "topic"]).keys() == {"mood", "topic"}
    made = MultiTaskPipeline(model=kinds, tokenizer=tokenizer, device="cpu", tasks=["mood"], top_k=None)
    assert made("good") == {"mood": pipe("good", top_k=None)["mood"]}
    assert made("good", tasks=["topic"], top_k=2) == {"topic": pipe("good", top_k=None)["topic"][:2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["mood", "nothing"]}, r"tasks must name some of the model's tasks .*, found \['nothing'\]"),
        ({"tasks": []}, "found none"),
        ({"top_k": 0}, "top_k must be at least 1, or None for all labels, found 0"),
        ({"top_k": "all"}, "top_k must be at least 1, or None for all labels, found 'all'"),
        ({"return_all_scores": True}, r"options are tasks, top_k and batch_size, found \['return_all_scores'\]"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"tasks": ["alike"]}, r"The tasks \['alike'\] compare two texts, found a single one, 'good'"),
    ],
)
def test_what_cannot_be_asked_is_refused(pipe, options, message):
    with pytest.raises(ValueError, match=message):
        pipe(["good"], **options)


def test_probabilities_are_calibrated(tokenizer):
    tasks = [Task(name="topic", labels=("a", "b"), temperature=4.0), Task(name="flags", labels=("x", "y"))]
    pipe = pipe_of(tokenizer, *tasks, initializer_range=0.5)
    scores = by_label(pipe("good film", top_k=None)["topic"])
    logits = pipe.model(**tokenizer("good film", return_tensors="pt")).logits["topic"][0]
    assert [scores["a"], scores["b"]] == pytest.approx((logits / 4.0).softmax(-1).tolist())


def test_labels_apply_from_their_thresholds_on(tokenizer):
    several = {"name": "flags", "problem_type": "multi_label_classification", "labels": ["x", "y"]}
    for thresholds, given in (((0.0, 1.0), {"x"}), ((1.0, 0.0), {"y"}), ((0.0, 0.0), {"x", "y"}), ((1.0, 1.0), set())):
        pipe = pipe_of(tokenizer, several | {"thresholds": thresholds})
        assert by_label(pipe("good")["flags"]).keys() == given


def test_an_ordinal_answer_is_the_median_class(tokenizer):
    pipe = pipe_of(tokenizer, {"name": "stars", "problem_type": "ordinal", "labels": ["1", "2", "3"]})
    head = pipe.model.heads["stars"][0]
    with torch.no_grad():  # p = 0.4, 0.2, 0.4
        head.weight.zero_()
        head.bias.copy_(torch.logit(torch.tensor([0.6, 2 / 3])))
    assert by_label(pipe("good", top_k=None)["stars"]) == pytest.approx({"1": 0.4, "2": 0.2, "3": 0.4})
    assert pipe("good")["stars"] == {"label": "2", "score": pytest.approx(0.2)}


def test_several_numbers_have_their_names_and_the_users_units(tokenizer):
    task = {"name": "affect", "problem_type": "regression", "labels": ["joy", "fear"], "target_mean": [100, -100]}
    assert by_label(pipe_of(tokenizer, task)("good")["affect"]) == pytest.approx({"joy": 100, "fear": -100}, abs=5)


def test_a_similarity_is_the_cosine_of_two_texts_read_apart(pipe, kinds, tokenizer):
    answers = pipe(TEXTS)
    assert ["alike" in answer for answer in answers] == [False, False, False, True, True]
    first, second = (
        kinds(**tokenizer(text, return_tensors="pt")).sentence_embedding for text in ("good film", "council vote")
    )
    assert answers[3]["alike"]["score"] == pytest.approx(torch.cosine_similarity(first, second).item(), abs=1e-5)


WORD_LABELS = {"name": "parts", "problem_type": "token_classification", "labels": ["a", "b", "c"]}


def test_words_have_their_characters_and_the_label_of_their_first_token(tokenizer):
    pipe = pipe_of(tokenizer, WORD_LABELS, initializer_range=0.5)
    text = "the council, again"
    words = pipe(text)["parts"]
    assert [word["word"] for word in words] == ["the", "council", ",", "again"]
    assert all(text[word["start"] : word["end"]] == word["word"] for word in words)
    model = pipe.model
    chances = model.probabilities(model(**tokenizer(text, return_tensors="pt")).logits)["parts"][0, 1:-1]
    assert [word["entity"] for word in words] == ["abc"[place] for place in chances.argmax(-1)]
    assert [word["score"] for word in words] == pytest.approx(chances.amax(-1).tolist(), abs=1e-5)


def test_entities_are_the_words_that_belong_together(tokenizer):
    labels = ["O", "B-LOC", "I-LOC", "B-PER"]
    pipe = pipe_of(tokenizer, {"name": "places", "problem_type": "token_classification", "labels": labels})
    table = {"good": "B-LOC", "bad": "I-LOC", "film": "O", "vote": "B-PER"}
    head = pipe.model.heads["places"]
    tags = {tokenizer.convert_tokens_to_ids(word): labels.index(tag) for word, tag in table.items()}
    pipe.model.backbone.register_forward_pre_hook(
        lambda module, args, kwargs: setattr(head, "ids", kwargs["input_ids"]), with_kwargs=True
    )
    head.register_forward_hook(
        lambda module, args, output: torch.stack(
            [torch.eye(4)[[tags.get(token, 0) for token in row]] * 9.0 for row in head.ids.tolist()]
        )
    )
    text = "good bad film vote bad"
    found = pipe(text)["places"]
    spans = [(part["entity_group"], part["word"]) for part in found]
    assert spans == [("LOC", "good bad"), ("PER", "vote"), ("LOC", "bad")]
    assert all(text[part["start"] : part["end"]] == part["word"] for part in found)
    score = math.exp(9.0) / (math.exp(9.0) + 3)
    assert [part["score"] for part in found] == pytest.approx([score] * 3)


def test_a_word_of_several_tokens_is_one_word_with_the_first_ones_label():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "coun": 1, "##cil": 2, "vote": 3, "[PAD]": 4}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    pipe = pipe_of(pieces, WORD_LABELS, initializer_range=0.5)
    words = pipe("council vote")["parts"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [("council", 0, 7), ("vote", 8, 12)]
    model = pipe.model
    chances = model.probabilities(model(**pieces("council vote", return_tensors="pt")).logits)["parts"][0]
    assert [word["score"] for word in words] == pytest.approx(chances[[0, 2]].amax(-1).tolist(), abs=1e-5)


def test_words_end_at_spaces_where_the_tokenizer_takes_the_text_for_one_word():
    backend = Tokenizer(models.BPE({"[PAD]": 0, "a": 1, "b": 2, "▁": 3, "▁b": 4, "c": 5}, [("▁", "b")]))
    backend.normalizer = normalizers.Replace(" ", "▁")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    assert set(tokenizer("ac ba").word_ids()) == {0}, "or this test shows nothing"
    words = pipe_of(tokenizer, WORD_LABELS)("ac ba")["parts"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [("ac", 0, 2), ("ba", 3, 5)]


def test_a_word_has_the_label_of_the_token_that_training_gave_it_to():
    pieces = [("[PAD]", 0.0), ("[UNK]", -9.0), ("▁", -2.0), ("▁good", -1.0), ("b", -1.0), ("c", -1.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    row = {"words": ["good", "bc", "good", "c"], "targets": {"parts": [0, 1, 2, 0]}}
    trained = tokenize(Dataset.from_list([row]), tokenizer, 16)[0]
    labelled = [place for place, label in enumerate(trained["targets"]["parts"]) if label != -100]
    text = " ".join(row["words"])
    encoded = tokenizer([text])
    assert encoded["input_ids"][0] == trained["input_ids"], "or this test shows nothing"
    words = find_words(text, encoded.encodings[0])
    assert [word.token for word in words] == labelled == [0, 1, 4, 5]
    assert [text[word.start : word.end] for word in words] == row["words"]


def test_a_pair_has_the_words_of_its_first_text(tokenizer):
    answer = pipe_of(tokenizer, WORD_LABELS)(("good film", "council vote"))
    assert [word["word"] for word in answer["parts"]] == ["good", "film"]


def test_what_lies_behind_the_tokenizers_limit_is_not_read_and_that_is_said(caplog):
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 4
    pipe = pipe_of(tokenizer, WORD_LABELS, {"name": "topic", "labels": ["a", "b"]}, initializer_range=0.5)
    cut, short, fits = pipe(["good film council vote", "good film", "bad film"])
    assert [word["word"] for word in cut["parts"]] == ["good", "film"]
    assert cut["topic"] == pytest.approx(short["topic"], abs=1e-5)
    assert fits.keys() == cut.keys()
    assert caplog.messages == ["1 of 3 texts are longer than the 4 tokens that are read of a text"]


def test_a_text_is_cut_where_any_of_its_readings_is(caplog):
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 4
    pipe_of(tokenizer, TASKS[-1])([("good film song", "good"), ("good", "good film song"), ("good", "bad")])
    assert caplog.messages == ["2 of 3 texts are longer than the 4 tokens that are read of a text"]


def test_a_tokenizer_that_does_not_keep_what_it_cuts_is_asked_again():
    tokenizer = CanineTokenizer(model_max_length=6)
    columns = [["abcde", "abcd", "a"]]
    assert cut_places(tokenizer, columns, read_tokens(tokenizer, columns, "pt")) == {0}


def test_answering_leaves_the_tokenizer_cutting_so_that_threads_can_share_it(kinds):
    tokenizer = make_tokenizer()
    MultiTaskPipeline(model=kinds, tokenizer=tokenizer, device="cpu")("good " * 100)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 64


def test_empty_texts_are_answered_and_that_is_said(pipe, caplog):
    answers = pipe(["", " ", "good", ("good", "")])
    assert answers[0]["places"] == []
    assert answers[0]["topic"].keys() == {"label", "score"}
    assert caplog.messages == ["3 of 4 texts are empty, or have an empty part; their answers mean little"]


def test_empty_texts_are_answered_where_the_tokenizer_makes_no_tokens_of_them():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "good": 1, "[UNK]": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    pipe = pipe_of(tokenizer, WORD_LABELS, {"name": "topic", "labels": ["a", "b"]})
    assert pipe("")["topic"]["score"] == pytest.approx(0.5, abs=0.2)
    assert pipe("")["parts"] == []
    beside, alone = pipe(["", "good"], batch_size=2)[0], pipe("")
    assert beside["topic"] == pytest.approx(alone["topic"])


@pytest.mark.parametrize("training", [True, False])
def test_answering_leaves_the_model_in_its_mode(tokenizer, training):
    model = tiny_bert(hidden_dropout_prob=0.5).train(training)
    pipe = MultiTaskPipeline(model=model, tokenizer=tokenizer, device="cpu")
    assert pipe("good film") == pipe("good film")
    assert model.training is training


def test_transformers_own_pipeline_extracts_the_embeddings_of_tokens(kinds, tokenizer, tmp_path):
    kinds.tokenizer = tokenizer
    kinds.save_pretrained(tmp_path)
    extract = pipeline("feature-extraction", model=str(tmp_path), device="cpu")
    inputs = tokenizer("good film", return_tensors="pt")
    first, *_ = kinds(**inputs, return_dict=False)
    torch.testing.assert_close(torch.tensor(extract("good film")), first)
    torch.testing.assert_close(first.mean(1), kinds(**inputs).sentence_embedding)


@pytest.mark.parametrize(
    ("problem_types", "tag"),
    [
        (["single_label_classification", "regression"], "text-classification"),
        (["token_classification"], "token-classification"),
        (["similarity"], "sentence-similarity"),
        (["token_classification", "similarity"], "text-classification"),
    ],
)
def test_the_word_that_the_hub_shows_for_a_model_makes_its_pipeline(tokenizer, tmp_path, problem_types, tag):
    labels = {"single_label_classification": ["a", "b"], "token_classification": ["a", "b"]}
    tasks = [{"name": kind, "problem_type": kind, "labels": labels.get(kind, [])} for kind in problem_types]
    model = tiny_bert(tasks=tasks)
    model.tokenizer = tokenizer
    model.save_pretrained(tmp_path)
    pair = ("good film", "bad film")
    named = pipeline(tag, model=str(tmp_path), trust_remote_code=True, device="cpu")
    assert named(pair) == pipeline(model=str(tmp_path), trust_remote_code=True, device="cpu")(pair)
    assert list(named(pair)) == problem_types
    assert card_metadata(record(tasks=model.config.tasks)).pipeline_tag == tag


def test_no_texts_have_no_answers(pipe):
    assert pipe([]) == []
    assert list(pipe(text for text in ())) == []


@pytest.mark.parametrize("text", [(), ("a", "b", "c"), 3, None, {"texts": "a"}, ("a", 3)])
def test_what_is_neither_a_text_nor_a_pair_is_refused(pipe, text):
    with pytest.raises(ValueError, match="A text must be a string, or for a pair two strings or a mapping"):
        pipe([text])


@pytest.mark.parametrize("table", [pd.DataFrame({"text": ["good"]}), pa.table({"text": ["good"]})], ids=type)
def test_a_table_is_not_taken_for_the_names_of_its_columns(pipe, table):
    pipe.model.tokenizer = pipe.tokenizer
    for answer in (pipe, pipe.model.encode):
        with pytest.raises(ValueError, match="Texts must be a list or a column of them, found a .*Table|.*DataFrame"):
            answer(table)


def test_no_more_is_read_of_a_text_than_the_encoder_has_positions_for():
    unlimited = make_tokenizer()
    unlimited.model_max_length = 10**30
    model = tiny_bert(tasks=TASKS[:1])
    pipe = MultiTaskPipeline(model=model, tokenizer=unlimited, device="cpu")
    assert pipe("good " * 500)
    model.tokenizer = make_tokenizer()
    model.tokenizer.model_max_length = 10**30
    model.tokenizer = model.tokenizer
    assert model.encode("good " * 500).shape == (model.config.hidden_size,)


def test_a_batch_of_rows_is_not_taken_for_the_words_of_one_text(tokenizer):
    pipe = pipe_of(tokenizer, TASKS[0])
    rows = Dataset.from_dict({"text": ["First text.", "Second text."]})
    with pytest.raises(
        ValueError, match=r"A text must be a string where no task labels words, found a list.*rows\['text"
    ):
        pipe(rows[:2])


def test_no_text_at_all_is_refused(pipe):
    with pytest.raises(ValueError, match=r"A text must be a string, found \(\)"):
        pipe(())


def test_words_need_a_fast_tokenizer(pipe, tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match="Labels of words need a fast tokenizer"):
        pipe(TEXTS)
