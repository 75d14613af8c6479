"""A text that is trained on and scored is told, whatever dataset it comes from."""

import pytest
from datasets import Dataset

from hf_multitask.data.same_texts import text_keys, warn_of_trained_texts


def rows(*texts, name="text", **more):
    return Dataset.from_dict({name: list(texts), **more})


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ["a", "b", "a"]},
        {"text": ["a", "a", "a"], "text_pair": ["c", "d", "c"]},
        {"text": ["a", "a", "a"], "second_text": ["c", "d", "c"]},
        {"words": [["a", "b"], ["a", "c"], ["a", "b"]]},
    ],
    ids=lambda columns: "+".join(columns),
)
def test_rows_are_the_same_where_all_their_texts_are(columns):
    first, second, third = text_keys(Dataset.from_dict(columns))
    assert first == third != second


def test_texts_that_are_trained_on_and_scored_are_counted_over_all_datasets(caplog):
    train = {"a": rows("one", "two"), "b": rows("three")}
    warn_of_trained_texts({"train": train, "test": {"a": rows("three", "one", "four", "one")}})
    (said,) = caplog.messages
    assert said.startswith("Dataset 'a', split 'test': 3 of 4 rows have a text that is trained on too, 2 of them in")


def test_a_second_text_makes_another_row(caplog):
    train = {"a": rows("one", second_text=["two"])}
    warn_of_trained_texts({"train": train, "test": {"a": rows("one", second_text=["three"]), "b": rows("one")}})
    assert caplog.messages == []
