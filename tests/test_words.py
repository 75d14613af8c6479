"""A text is parted into words as corpora of words are, whatever tokenizer reads it, and each has the right token."""

import copy

import pytest
from conftest import make_tokenizer, tiny_bert
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hf_multitask.data.tokenization import tokenize
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.modeling.texts import Words, as_text
from hf_multitask.modeling.word_borders import split_words
from hf_multitask.modeling.words import find_words

SENTENCE = ["Jean-Claude", "left", "the", "U.S.", "yesterday", ",", "didn't", "he", "?"]
TEXT = "Jean-Claude left the U.S. yesterday, didn't he?"
CORPUS = [TEXT, " ".join(SENTENCE), "我在北京。", "東京へ行く", "ฉันรักเมืองไทย"] * 3
SPECIAL = {"special_tokens": ["[PAD]", "[UNK]"], "show_progress": False}


def word_piece():
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend, trainers.WordPieceTrainer(vocab_size=90, **SPECIAL)


def byte_level():
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return backend, trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, **SPECIAL)


def metaspace():
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend, trainers.UnigramTrainer(vocab_size=70, unk_token="[UNK]", **SPECIAL)


def whole_text():
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return backend, trainers.BpeTrainer(vocab_size=80, **SPECIAL)


@pytest.fixture(scope="module", params=[word_piece, byte_level, metaspace, whole_text], ids=lambda kind: kind.__name__)
def subwords(request):
    """A tokenizer of each kind, of so few pieces that most words have several."""
    backend, trainer = request.param()
    backend.train_from_iterator(CORPUS, trainer)
    if request.param is whole_text:
        backend.pre_tokenizer = None  # to it, a whole text is one word
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=256)


def found_in(text, tokenizer):
    """The words of a text, and the places of their tokens."""
    words = find_words(text, tokenizer([text]).encodings[0])
    return [text[word.start : word.end] for word in words], [word.token for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Jean-Claude said: don't!", "Jean-Claude said : don't !"),
        ("the U.S., 3.5% of a@b.c", "the U.S. , 3.5 % of a@b.c"),
        ("(10,000) Paris,London;Rome", "( 10,000 ) Paris , London ; Rome"),
        ("He left... in the U.S.A.", "He left ... in the U.S.A."),
        ("J. Smith has plan B.", "J. Smith has plan B ."),
        ("U.S.-based AT&T--O\u2019Brien's", "U.S.-based AT&T -- O\u2019Brien's"),
        ("l'e\u0301te\u0301 हिन्दी में", "l'e\u0301te\u0301 हिन्दी में"),
        ("hi😀there 'co-", "hi 😀 there ' co -"),
        ("\u200b a\u200bb \t\n", "a\u200bb"),
        ("", ""),
        ("Aさんは、2020年 서울에서", "A さんは 、 2020 年 서울에서"),
    ],
)
def test_words_part_at_spaces_and_from_the_marks_around_them(text, words):
    assert [text[start:end] for start, end in split_words(text)] == words.split()


def test_every_kind_of_tokenizer_finds_the_same_words(subwords):
    assert found_in(TEXT, subwords)[0] == SENTENCE


def test_the_words_of_a_text_read_the_tokens_that_training_labels(subwords):
    row = {"words": SENTENCE, "targets": {"parts": list(range(len(SENTENCE)))}}
    trained = tokenize(Dataset.from_list([row]), subwords, 256)[0]
    labelled = [place for place, label in enumerate(trained["targets"]["parts"]) if label != -100]
    for text in (" ".join(SENTENCE), Words(SENTENCE)):
        assert subwords([text])["input_ids"][0] == trained["input_ids"], "or this test shows nothing"
        assert found_in(text, subwords) == (SENTENCE, labelled)


def test_a_sentence_of_a_script_without_spaces_is_several_words(subwords):
    for text in ("我在北京。", "東京へ行く", "ฉันรักเมืองไทย"):
        words, tokens = found_in(text, subwords)
        assert "".join(words) == text
        assert len(words) > 2
        assert tokens == sorted(tokens)


def test_where_the_tokenizer_parts_a_script_without_spaces_its_parts_are_the_words():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "東": 1, "京": 2, "へ": 3, "##の": 4}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert found_in("東京への", tokenizer) == (["東", "京", "への"], [0, 1, 2])


def test_a_token_of_several_words_speaks_for_each():
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, ").": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(").", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert found_in("a).", tokenizer) == (["a", ")", "."], [0, 1, 1])


def test_words_without_a_token_are_left_out(subwords):
    tokenizer = subwords
    encoding = tokenizer([TEXT], truncation=True, max_length=6).encodings[0]
    words = find_words(TEXT, encoding)
    assert 0 < len(words) < len(SENTENCE)
    assert [TEXT[word.start : word.end] for word in words] == SENTENCE[: len(words)]
    cut = find_words("我在北京我在北京", tokenizer(["我在北京我在北京"], truncation=True, max_length=3).encodings[0])
    assert cut[-1].end < 8, "what was not read belongs to no word"


def pipe_of_words(tokenizer):
    tasks = [{"name": "parts", "problem_type": "token_classification", "labels": ["a", "b", "c"]}]
    tasks.append({"name": "topic", "labels": ["d", "e"]})
    return MultiTaskPipeline(model=tiny_bert(tasks=tasks, initializer_range=0.5), tokenizer=tokenizer, device="cpu")


def test_words_that_are_given_are_the_words():
    pipe = pipe_of_words(make_tokenizer())
    words = ["good film", "(council)", "vote", ",again"]
    text = "good film (council) vote ,again"
    answer = pipe({"text": words, "labels": 3})
    assert [part["word"] for part in answer["parts"]] == words
    assert all(text[part["start"] : part["end"]] == part["word"] for part in answer["parts"])
    assert answer["topic"] == pipe(text)["topic"]
    assert pipe([(words,), {"text": tuple(words)}], batch_size=1) == [answer, answer]
    pair = pipe((["good", "film"], "council vote"))
    assert pair == pipe(("good film", "council vote"))
    assert pipe({"text": []})["parts"] == []


@pytest.mark.parametrize("words", [["good", " "], ["good", 3], ["good", None], [["good"]]])
def test_a_word_that_is_none_is_refused(words):
    with pytest.raises(ValueError, match=r"Every word of a text must be a text, found .* Correct the list"):
        as_text({"text": words})


def test_a_copy_of_words_has_the_same_words():
    words = Words(["New York", "is", "good"])
    copied = copy.deepcopy(words)
    assert (copied, copied.spans) == (words, words.spans) == ("New York is good", [(0, 8), (9, 11), (12, 16)])


def test_a_list_of_more_than_two_strings_is_refused_and_told_how_to_be_written():
    with pytest.raises(ValueError, match=r"and a list of words as \{'text': \['A', 'word'\]\}"):
        as_text(["good", "film", "again"])
