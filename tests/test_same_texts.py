"""A text that is trained on and scored is told, whatever dataset it comes from."""

import pytest
from datasets import Dataset

from hf_multitask.data.same_texts import text_hashes, text_keys, warn_of_trained_texts


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


@pytest.mark.parametrize(
    "text", [" a b", "a b\n", "a  b", "a\tb", "a\u00a0 b", "\u2003a\r\nb\u3000", "a\x0b\x85\x1c b"]
)
def test_texts_that_differ_by_space_alone_are_the_same(text):
    first, second, third = text_keys(rows("a b", text, "ab"))
    assert first == second != third


def test_pairs_are_the_same_in_any_order_where_that_does_not_matter():
    pairs = rows("a", "b ", "a", text_pair=["b", "a", "a"])
    one, swapped, other = text_keys(pairs, in_any_order=True)
    assert one == swapped != other
    assert len(set(text_keys(pairs))) == 3


def test_a_pair_of_a_similarity_is_told_where_it_is_trained_on_the_other_way_round(caplog):
    train, test = rows("a", second_text=["b"]), rows("b", "a", "c", second_text=["a", "b ", "a"])
    warn_of_trained_texts(
        {"train": {"s": train}, "test": {"s": test, "p": test.rename_column("second_text", "text_pair")}}
    )
    assert [said.partition(" rows have")[0] for said in caplog.messages] == [
        "Dataset 's', split 'test': 2 of 3",
        "Dataset 'p', split 'test': 1 of 3",
    ]


def test_the_hashes_of_split_records_are_those_of_earlier_checkpoints():
    assert text_hashes(rows("a", " a")).tolist() == [5694802365760992243, 14871600727924471644]


def test_texts_that_are_trained_on_and_scored_are_counted_over_all_datasets(caplog):
    train = {"a": rows("one", "two"), "b": rows("three")}
    warn_of_trained_texts({"train": train, "test": {"a": rows("three", "one", "four", "one")}})
    (said,) = caplog.messages
    assert said.startswith("Dataset 'a', split 'test': 3 of 4 rows have a text that is trained on too, 2 of them in")


def test_a_second_text_makes_another_row(caplog):
    train = {"a": rows("one", second_text=["two"])}
    warn_of_trained_texts({"train": train, "test": {"a": rows("one", second_text=["three"]), "b": rows("one")}})
    assert caplog.messages == []
