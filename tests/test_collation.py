"""A batch holds every row's tokens and labels, padded on the right, with a label tensor for every task."""

import copy

import pytest
import torch
from conftest import make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from hf_multitask import MultiTaskCollator, Task

TASKS = [Task(name="topic", labels=("a", "b", "c")), Task(name="mood", labels=("bad", "good"))]
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
            *(
                None if batch["labels"][task.name][index] == -100 else batch["labels"][task.name][index].item()
                for task in TASKS
            ),
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
    assert list(labels) == ["topic", "mood"]
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
        MultiTaskCollator(tokenizer, TASKS)(rows)


def test_a_row_without_targets_beside_one_with_some_has_no_label(tokenizer):
    rows = [{"input_ids": [2, 4, 3], "targets": {"topic": 1}}, {"input_ids": [2, 4, 3]}]
    assert MultiTaskCollator(tokenizer, TASKS)(rows)["labels"]["topic"].tolist() == [1, -100]


KINDS = [
    Task(name="topics", problem_type="multi_label_classification", labels=("a", "b", "c")),
    Task(name="price", problem_type="regression"),
    Task(name="alike", problem_type="similarity"),
    Task(name="names", problem_type="token_classification", labels=("O", "PER")),
]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
KIND_TARGETS = st.fixed_dictionaries(
    {
        "topics": st.none() | st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3),
        "price": st.none() | st.lists(FINITE, min_size=1, max_size=1),
        "alike": st.none() | st.lists(st.floats(0, 1, width=32), min_size=1, max_size=1),
    }
)


@given(st.lists(st.tuples(st.integers(1, 9), KIND_TARGETS, st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_targets_of_every_kind_and_second_texts_are_recoverable_from_the_batch(rows):
    given = []
    for length, targets, has_names, has_second in rows:
        names = [index % 2 for index in range(length)] if has_names else None
        made = row(list(range(4, 4 + length)), **targets, names=names)
        given.append(made | {"pair_input_ids": [7] * length if has_second else None})
    batch = MultiTaskCollator(TOKENIZER, KINDS)(given)
    length = batch["input_ids"].shape[1]
    for index, made in enumerate(given):
        for name, size in (("topics", 3), ("price", 1), ("alike", 1)):
            found = batch["labels"][name][index]
            assert (found.dtype, found.shape) == (torch.float32, (size,))
            target = made["targets"][name]
            assert found.isnan().all() if target is None else found.tolist() == target
        names = made["targets"]["names"]
        padded = [-100] * length if names is None else names + [-100] * (length - len(names))
        assert batch["labels"]["names"][index].tolist() == padded
    seconds = [made["pair_input_ids"] for made in given if made["pair_input_ids"]]
    if not seconds:
        assert not {"pair_input_ids", "pair_attention_mask", "pair_rows"} & set(batch)
        return
    assert batch["pair_rows"].tolist() == [index for index, made in enumerate(given) if made["pair_input_ids"]]
    masks = batch["pair_attention_mask"].bool()
    assert [ids[mask].tolist() for ids, mask in zip(batch["pair_input_ids"], masks, strict=True)] == seconds


def test_one_number_may_stand_by_itself():
    batch = MultiTaskCollator(TOKENIZER, KINDS)([row([1], price=2.5)])
    assert batch["labels"]["price"].tolist() == [[2.5]]


def test_an_unknown_number_is_nan_and_the_others_are_kept():
    batch = MultiTaskCollator(TOKENIZER, KINDS)([row([1], topics=[1.0, float("nan"), None])])
    assert batch["labels"]["topics"].isnan().tolist() == [[False, True, True]]


def test_rows_of_embeddings_need_no_tokens():
    rows = [{"sentence_embedding": [0.5, 1.0], "targets": {"price": [1.0]}}] * 2
    batch = MultiTaskCollator(TOKENIZER, KINDS)(rows)
    assert set(batch) == {"sentence_embedding", "labels"}
    assert_close(batch["sentence_embedding"], torch.tensor([[0.5, 1.0]] * 2))
    assert batch["labels"]["price"].tolist() == [[1.0], [1.0]]


def test_embeddings_of_some_rows_only_are_refused():
    with pytest.raises(ValueError, match="must have a sentence_embedding, or none, found it in 1 of 2"):
        MultiTaskCollator(TOKENIZER, KINDS)([{"sentence_embedding": [0.5]}, row([1])])


def test_rows_that_are_not_tokenised_are_refused(tokenizer):
    collate = MultiTaskCollator(tokenizer, [])
    with pytest.raises(ValueError, match=r"Rows must have input_ids, found one with .'text'.. Pass those of tokenize"):
        collate([{"text": "good film"}])


def test_row_ids_are_kept_where_rows_have_them():
    batch = COLLATE([row([1]) | {"row": "news/train/3"}, row([2]) | {"row": "news/train/1"}])
    assert batch["row_ids"] == ["news/train/3", "news/train/1"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"topics": [1.0, 0.0]}, "Task 'topics': a target must be a list of 3 numbers, .* found"),
        ({"topics": "abc"}, "Task 'topics': a target must be a list of 3 numbers, .* found 'abc'"),
        ({"price": ["1"]}, "Task 'price': a target must be a list of 1 numbers, .* found"),
        ({"price": [float("inf")]}, "Task 'price': a target must be finite, found"),
        ({"names": [0]}, "Task 'names': a target must be a list with a label index for each of the 3 tokens, .* found"),
        ({"names": 1}, "Task 'names': a target must be a list with a label index for each of the 3 tokens, .* found 1"),
        ({"names": [0, 1, 2]}, "Task 'names': a target must be the index of one of 2 labels, found 2"),
    ],
)
def test_targets_of_the_wrong_type_or_length_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskCollator(TOKENIZER, KINDS)([row([4, 5, 6], **targets)])


@pytest.mark.parametrize("target", [3, -1])
def test_an_index_without_a_label_is_refused(target):
    with pytest.raises(ValueError, match=f"Task 'topic': .* index of one of 3 labels, found {target}"):
        COLLATE([row([1], topic=target)])
