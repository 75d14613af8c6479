"""The sample corpus: what can be guarded about it."""

import csv
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "training_scripts" / "sample_data"
SPLITS = ("train", "validation", "test")
TOPICS = {"News", "Opinion", "Entertainment"}
SENTIMENTS = {"Positive", "Negative"}


@pytest.fixture(scope="module")
def corpus():
    rows = []
    for split in SPLITS:
        with (FOLDER / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            rows += [{**row, "split": split} for row in csv.DictReader(file)]
    return rows


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


def test_there_are_at_least_900_sentences_with_both_labels(corpus):
    assert len(corpus) >= 900
    assert {row["topic"] for row in corpus} == TOPICS
    assert {row["sentiment"] for row in corpus} == SENTIMENTS
    assert all(set(row) == {"text", "topic", "sentiment", "split"} for row in corpus)


@pytest.mark.parametrize("split", SPLITS)
def test_all_six_cells_are_of_one_size_in_every_split(corpus, split):
    cells = Counter((row["topic"], row["sentiment"]) for row in corpus if row["split"] == split)
    assert len(cells) == 6
    assert max(cells.values()) == min(cells.values())


def test_texts_have_4_to_60_words(corpus):
    assert {row["text"]: n for row in corpus if not 4 <= (n := len(row["text"].split())) <= 60} == {}


def test_texts_are_clean_utf8_with_unix_line_ends(corpus):
    for split in SPLITS:
        raw = (FOLDER / f"{split}.csv").read_bytes()
        assert b"\r" not in raw
        assert not raw.startswith(b"\xef\xbb\xbf")
    for row in corpus:
        assert row["text"] == " ".join(row["text"].split())
        assert row["text"].isprintable()


def test_no_text_stands_twice_even_in_other_case_or_punctuation(corpus):
    counts = Counter(tuple(words(row["text"])) for row in corpus)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_two_texts_share_a_run_of_six_words(corpus):
    seen = {}
    for index, row in enumerate(corpus):
        tokens = words(row["text"])
        for run in {tuple(tokens[start : start + 6]) for start in range(len(tokens) - 5)}:
            assert run not in seen, (row["text"], corpus[seen[run]]["text"])
            seen[run] = index


def test_no_two_texts_share_most_of_their_words(corpus):
    sets = [frozenset(words(row["text"])) for row in corpus]
    by_word = {}
    for index, tokens in enumerate(sets):
        for word in tokens:
            by_word.setdefault(word, []).append(index)
    rare = [members for members in by_word.values() if len(members) <= 40]
    pairs = Counter(pair for members in rare for pair in combinations(members, 2))
    near = [
        (corpus[a]["text"], corpus[b]["text"])
        for a, b in pairs
        if len(sets[a] & sets[b]) > 0.6 * len(sets[a] | sets[b])
    ]
    assert near == []


def test_no_opening_is_a_template(corpus):
    openings = Counter(tuple(words(row["text"])[:3]) for row in corpus)
    assert max(openings.values()) <= 6, openings.most_common(3)


def test_a_label_cannot_be_read_from_the_length(corpus):
    for column, values in (("topic", TOPICS), ("sentiment", SENTIMENTS)):
        means = []
        for value in values:
            lengths = [len(row["text"].split()) for row in corpus if row[column] == value]
            means.append(sum(lengths) / len(lengths))
        assert max(means) < 1.25 * min(means), (column, means)
