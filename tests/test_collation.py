"""A batch holds every row's tokens and labels, padded on the right, with a label tensor for every task."""

import copy

import pytest
import torch
from conftest import make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from hf_multitask import MultiTaskCollator

TASKS = ["topic", "mood"]
TOKENIZER = make_tokenizer()
COLLATE = MultiTaskCollator(TOKENIZER, TASKS)


def row(ids: list[int], **targets) -> dict:
    """A tokenised row; its length and another column must not reach the model."""
    return {
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "token_type_ids": [0] * len(ids),
        "length": len(ids),
        "targets": targets,
    }


ROWS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 20), min_size=1, max_size=12),
        st.sampled_from([None, 0, 1, 2]),
        st.sampled_from([None, 0, 1]),
    ),
    min_size=1,
    max_size=8,
)


@given(ROWS)
def test_tokens_and_labels_of_every_row_are_recoverable_from_the_batch(rows):
    batch = COLLATE([row(ids, topic=topic, mood=mood) for ids, topic, mood in rows])
    recovered = [
        (
            batch["input_ids"][index][batch["attention_mask"][index].bool()].tolist(),
            *(None if batch["labels"][task][index] == -100 else batch["labels"][task][index].item() for task in TASKS),
        )
        for index in range(len(rows))
    ]
    assert recovered == rows


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_goes_to_the_right_whatever_the_tokenizer_prefers(side):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.padding_side = side
    batch = MultiTaskCollator(tokenizer, TASKS)([row([5, 6, 7]), row([8])])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert tokenizer.padding_side == side


def test_every_task_is_in_every_batch():
    labels = COLLATE([row([1], topic=2), row([2], topic=None)])["labels"]
    assert list(labels) == TASKS
    assert_close(labels["topic"], torch.tensor([2, -100]))
    assert_close(labels["mood"], torch.tensor([-100, -100]))


def test_labels_are_int64():
    labels = COLLATE([row([1], topic=None, mood=None)])["labels"]
    assert {tensor.dtype for tensor in labels.values()} == {torch.int64}


def test_rows_without_targets_give_no_labels():
    unlabelled = row([1, 2])
    del unlabelled["targets"]
    assert "labels" not in COLLATE([unlabelled])


def test_a_batch_holds_nothing_but_inputs_and_labels_of_the_model():
    assert set(COLLATE([row([1])])) == {"input_ids", "attention_mask", "token_type_ids", "labels"}


def test_a_tokenizer_without_padding_token_is_refused():
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"a padding token, found none in it\. Pass .*tokenizer\.pad_token = "):
        MultiTaskCollator(tokenizer, TASKS)


def test_no_tokenizer_is_refused():
    with pytest.raises(ValueError, match=r"need a tokenizer .*, found no tokenizer\. Pass processing_class=tokenizer"):
        MultiTaskCollator(None, TASKS)


@pytest.mark.parametrize("target", [1.7, "News", float("nan")])
def test_a_target_that_is_no_index_is_refused(tokenizer, target):
    rows = [{"input_ids": [2, 4, 3], "targets": {"topic": target}}]
    with pytest.raises(ValueError, match="Task 'topic': a target must be the index of a label, found"):
        MultiTaskCollator(tokenizer, ["topic"])(rows)


def test_a_row_without_targets_beside_one_with_some_has_no_label(tokenizer):
    rows = [{"input_ids": [2, 4, 3], "targets": {"topic": 1}}, {"input_ids": [2, 4, 3]}]
    assert MultiTaskCollator(tokenizer, ["topic"])(rows)["labels"]["topic"].tolist() == [1, -100]
