"""Entities in BIO tags: seqeval's by default, checked by hand."""

import numpy as np
import pytest

from hf_multitask import Task
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.evaluation.registry import known_metrics, primary_of
from hf_multitask.modeling.entities import entity_types, find_entities, is_bio

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def entities(*rows):
    """(type, first word, last word) of the entities in rows of tags."""
    words = [(tag, row) for row, tags in enumerate(rows) for tag in tags.split()]
    tags = np.array([LABELS.index(tag) for tag, _ in words])
    found = find_entities(LABELS, tags, np.array([row for _, row in words]))
    return [(("PER", "LOC")[kind], first, last) for first, last, kind in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-PER B-LOC", [("PER", 0, 0), ("LOC", 1, 1)]),
        ("O I-PER I-PER O", [("PER", 1, 2)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),
        ("B-PER I-PER B-PER I-PER", [("PER", 0, 1), ("PER", 2, 3)]),
    ],
)
def test_the_entities_of_a_row(tags, expected):
    assert entities(tags) == expected


def test_an_entity_ends_with_its_row():
    assert entities("O B-PER", "I-PER O") == [("PER", 1, 1), ("PER", 2, 2)]


def score(rows, decided_rows, labels=LABELS):
    """Scores of rows of tags; `-` has no target."""
    task = Task(name="t", problem_type="token_classification", labels=labels)
    length = max(len(row.split()) for row in rows)
    targets = np.full((len(rows), length), -100)
    logits = np.full((len(rows), length, len(labels)), -100.0, dtype=np.float32)
    for index, (row, decided) in enumerate(zip(rows, decided_rows, strict=True)):
        for place, (tag, answer) in enumerate(zip(row.split(), decided.split(), strict=True)):
            targets[index, place] = -100 if tag == "-" else labels.index(tag)
            logits[index, place] = np.eye(len(labels))[labels.index(answer)]
    answers = read_answers(task, logits, targets)
    return {name: metric.score(answers) for name, metric in known_metrics(task).items()}


def test_entity_scores_by_hand():
    # Right: PER 0-1, LOC 3, PER 4. Found: PER 0-1, LOC 3, LOC 4, and a PER too many.
    found = score(["B-PER I-PER O B-LOC", "B-PER O"], ["B-PER I-PER O B-LOC", "B-LOC B-PER"])
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 * 2 / (4 + 3))
    assert found["f1:PER"] == pytest.approx(2 * 1 / (2 + 2))
    assert found["f1:LOC"] == pytest.approx(2 * 1 / (2 + 1))
    assert found["f1_macro"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["accuracy"] == pytest.approx(4 / 6)


def test_an_entity_of_which_a_word_is_missing_is_wrong():
    found = score(["B-PER I-PER O"], ["B-PER O O"])
    assert found["f1"] == 0
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_tokens_without_a_target_neither_count_nor_part_an_entity():
    assert score(["B-PER - I-PER"], ["B-PER O I-PER"])["f1"] == 1


def test_no_entity_at_all_scores_zero_without_a_warning():
    assert score(["O O"], ["O O"])["f1"] == 0


def test_which_labels_are_bio():
    assert is_bio(LABELS)
    assert is_bio(("I-PER", "O"))
    assert not is_bio(("NOUN", "VERB", "O"))
    assert not is_bio(("B-PER", "I-PER"))  # what is outside must have a tag
    assert not is_bio(("O", "B-"))
    assert not is_bio(("O",))
    assert entity_types(("I-LOC", "O", "B-PER", "B-LOC")) == ["LOC", "PER"]


def test_words_are_judged_by_entities_only_where_labels_are_bio():
    kind = {"name": "t", "problem_type": "token_classification"}
    assert primary_of(Task(**kind, labels=LABELS)).title == "Entity F1"
    assert primary_of(Task(**kind, labels=("NOUN", "VERB"))).name == "f1_macro"
