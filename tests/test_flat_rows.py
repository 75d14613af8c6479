"""Batches made of flat arrays are those that the collator makes of the same rows."""

import copy
import pickle

import numpy as np
import pytest
import torch
from conftest import make_tokenizer
from datasets import Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hf_multitask import MultiTaskCollator, Task
from hf_multitask.data.flat_rows import FlatRows, flattened
from hf_multitask.data.mixing import Mixture
from hf_multitask.settings.mixing_settings import MixingSettings

TASKS = [
    Task(name="topic", labels=("a", "b", "c")),
    Task(name="stars", problem_type="ordinal", labels=("1", "2", "3", "4")),
    Task(name="topics", problem_type="multi_label_classification", labels=("a", "b", "c")),
    Task(name="price", problem_type="regression"),
    Task(name="alike", problem_type="similarity"),
    Task(name="names", problem_type="token_classification", labels=("O", "PER")),
]
TOKENIZER = make_tokenizer()
COLLATE = MultiTaskCollator(TOKENIZER, TASKS)
TARGETS = {
    "topic": Value("int64"),
    "stars": Value("int64"),
    "topics": List(Value("float64")),
    "price": List(Value("float64")),
    "alike": List(Value("float64")),
    "names": List(Value("int64")),
}
FEATURES = {
    "input_ids": List(Value("int32")),
    "attention_mask": List(Value("int8")),
    "token_type_ids": List(Value("int8")),
    "targets": TARGETS,
    "teacher_logits": {name: List(Value("float32")) for name in ("topic", "price", "names")},
    "pair_input_ids": List(Value("int32")),
    "row": Value("string"),
    "length": Value("int64"),
}
NUMBERS = st.floats(width=32, allow_infinity=False)


def lists(values, size):
    return st.none() | st.lists(values, min_size=size, max_size=size)


@st.composite
def a_row(draw):
    """A row with targets of every kind, each maybe missing."""
    length = draw(st.integers(1, 7))
    ids = draw(st.lists(st.integers(1, 20), min_size=length, max_size=length))
    start_of_pair = draw(st.integers(1, length))
    return {
        "input_ids": ids,
        "attention_mask": [1] * length,
        "token_type_ids": [0] * start_of_pair + [1] * (length - start_of_pair),
        "targets": {
            "topic": draw(st.sampled_from([None, -100, 0, 1, 2])),
            "stars": draw(st.none() | st.integers(0, 3)),
            "topics": draw(lists(st.sampled_from([None, 0.0, 1.0]), 3)),
            "price": draw(lists(NUMBERS, 1)),
            "alike": draw(lists(NUMBERS, 1)),
            "names": draw(lists(st.sampled_from([-100, 0, 1]), length)),
        },
        "teacher_logits": {
            "topic": draw(lists(NUMBERS, 3)),
            "price": draw(lists(NUMBERS, 1)),
            "names": draw(lists(NUMBERS, 2 * length)),
        },
        "pair_input_ids": draw(st.none() | st.lists(st.integers(1, 20), min_size=1, max_size=5)),
        "row": draw(st.none() | st.text(max_size=20)),
        "length": length,
    }


def dataset(rows, leave_out=()) -> Dataset:
    features = Features({name: kind for name, kind in FEATURES.items() if name not in leave_out})
    return Dataset.from_list([{name: row[name] for name in features} for row in rows], features=features)


def mixture(datasets) -> Mixture:
    return Mixture({str(number): rows for number, rows in enumerate(datasets)}, MixingSettings())


def assert_same(found, expected):
    """The same keys, types and values, wherever they are in the batch."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_same(found[name], value)
        elif isinstance(value, torch.Tensor):
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
            assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)
            assert found[name].is_contiguous()
        else:
            assert found[name] == value


def assert_flat(datasets, collate=COLLATE):
    """Batches of all rows, of the filler alone and of it among others are those of the collator."""
    flat, mixed = FlatRows(datasets, collate), mixture(datasets)
    size = len(mixed)
    assert len(flat) == size
    for indices in ([*range(size)], [*range(size, -1, -1)], [size], [0], [size - 1, size]):
        assert_same(flat.__getitems__(indices), collate(mixed.__getitems__(indices)))


OPTIONAL = ["targets", "teacher_logits", "pair_input_ids", "row", "token_type_ids", "attention_mask", "length"]


@given(st.lists(a_row(), min_size=1, max_size=6), st.sets(st.sampled_from(OPTIONAL)), st.data())
@settings(deadline=None, max_examples=15)
def test_flat_batches_are_the_collators_for_every_kind_of_task(rows, leave_out, data):
    cut = data.draw(st.integers(0, len(rows) - 1))
    assert_flat([dataset(part, leave_out) for part in (rows[:cut], rows[cut:]) if part])


@given(
    st.lists(st.tuples(lists(NUMBERS, 1), st.none() | st.integers(0, 2)), min_size=1, max_size=6),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=8)
def test_flat_batches_of_embeddings_are_the_collators(targets, size):
    tasks = TASKS[:4]
    rows = [
        {"sentence_embedding": [0.5 + row] * size, "targets": {"price": price, "topic": topic}}
        for row, (price, topic) in enumerate(targets)
    ]
    collate = MultiTaskCollator(TOKENIZER, tasks)
    stored = Dataset.from_list(rows)
    assert_flat([stored], collate)
    assert_flat([stored.with_format("numpy", columns=["sentence_embedding"], output_all_columns=True)], collate)


def simple(**columns) -> Dataset:
    values = {"input_ids": [[4, 5], [6], [7, 8, 9]], **columns}
    return Dataset.from_dict(values)


def test_second_texts_may_be_in_some_datasets_only():
    assert_flat([simple(), simple(pair_input_ids=[[4], [5, 6], [7]])])
    assert_flat([simple(pair_input_ids=[[4], None, [7]]), simple()])


def test_a_second_text_of_the_first_row_is_the_fillers_too():
    flat = FlatRows([simple(pair_input_ids=[[4, 5], None, None])], COLLATE)
    assert flat.__getitems__([3, 1])["pair_input_ids"].tolist() == [[4, 5]]


def test_masks_that_leave_out_tokens_are_kept():
    assert_flat([simple(attention_mask=[[1, 0], [1], [1, 1, 0]])])


def test_types_of_padding_are_the_tokenizers():
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer._pad_token_type_id = 3
    collate = MultiTaskCollator(tokenizer, TASKS)
    assert_flat([simple(token_type_ids=[[0, 0], [0], [0, 0, 0]])], collate)
    assert_flat([simple(token_type_ids=[[3, 3], [3], [3, 3, 3]])], collate)


@pytest.mark.parametrize("names", [["input_ids"], ["input_ids", "attention_mask"]])
def test_the_inputs_are_those_that_the_tokenizer_names(names):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.model_input_names = names
    assert_flat([simple(token_type_ids=[[0, 0], [0], [0, 0, 0]])], MultiTaskCollator(tokenizer, TASKS))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_goes_to_the_right_and_is_the_tokenizers(side):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.padding_side, tokenizer.pad_token = side, "good"
    assert_flat([simple()], MultiTaskCollator(tokenizer, TASKS))


@pytest.mark.parametrize(
    "targets",
    [
        [{"topic": None}] * 3,
        [{"topic": 1}, None, {"topic": 2}],
        [{"other": 1}] * 3,
        [{"price": 2.5}, {"price": None}, {"price": 1.0}],
        [{"price": 2}, {"price": None}, {"price": 1}],
        [{"price": [1e300]}, {"price": [True]}, {"price": None}],
        [{"topic": True}, {"topic": False}, {"topic": None}],
        [{"names": [0, None]}, {"names": None}, {"names": [1, 1, -100]}],
        [{"topics": [1, 0, None]}, {"topics": None}, {"topics": [0, 0, 1]}],
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_targets_may_be_written_in_every_way_that_the_collator_reads(targets):
    assert_flat([simple(targets=targets)])


def test_rows_that_were_selected_from_others_are_those_selected():
    rows = simple(targets=[{"topic": 0}, {"topic": 1}, {"topic": 2}], row=["a", "b", "c"])
    flat = FlatRows([rows.select([2, 0, 2]), rows.shuffle(seed=1)], COLLATE)
    mixed = mixture([rows.select([2, 0, 2]), rows.shuffle(seed=1)])
    assert_same(flat.__getitems__([0, 1, 2, 3, 4, 5]), COLLATE(mixed.__getitems__([0, 1, 2, 3, 4, 5])))


@pytest.mark.parametrize(
    "columns",
    [
        {"targets": [{"topic": 3}] * 3},
        {"targets": [{"topic": -1}] * 3},
        {"targets": [{"topic": 1.5}] * 3},
        {"targets": [{"topic": "News"}] * 3},
        {"targets": [{"topics": [1.0, 0.0]}] * 3},
        {"targets": [{"topics": 1.0}] * 3},
        {"targets": [{"price": ["1"]}] * 3},
        {"targets": [{"price": [float("inf")]}] * 3},
        {"targets": [{"names": [0]}] * 3},
        {"targets": [{"names": [2, 2]}, {"names": [2]}, {"names": [2, 2, 2]}]},
        {"targets": [{"names": 1}] * 3},
    ],
)
def test_rows_that_the_collator_refuses_are_left_to_it_to_refuse(columns):
    rows = simple(**columns)
    assert flattened(rows, COLLATE) is rows
    with pytest.raises(ValueError, match="a target must be"):
        COLLATE(rows.to_list())


@pytest.mark.parametrize(
    "datasets",
    [
        [simple(), simple(targets=[{"topic": 1}] * 3)],
        [simple(), simple(row=["a", "b", "c"])],
        [simple(), simple(attention_mask=[[1, 1], [1], [1, 1, 1]])],
        [simple(), simple(teacher_logits=[{"price": [1.0]}] * 3)],
        [simple(teacher_logits=[{"price": [1.0]}] * 3), simple(teacher_logits=[{"topic": [1.0, 0.0, 0.0]}] * 3)],
        [simple(teacher_logits=[{"price": [1.0]}, None, None])],
        [simple(teacher_logits=[{"topic": [1.0]}] * 3)],
        [simple().with_transform(lambda rows: rows)],
        [simple().with_format("torch")],
        [simple(other=[1, 2, 3]).with_format(columns=["other"])],
        [simple(row=[1, 2, 3])],
        [Dataset.from_dict({"input_ids": [[4], []]})],
        [Dataset.from_dict({"input_ids": [[4], None]})],
        [Dataset.from_dict({"other": [1]})],
        [Dataset.from_dict({"sentence_embedding": [[1.0], None]})],
    ],
)
def test_rows_that_only_the_collator_can_read_are_left_to_it(datasets):
    mixed = mixture(datasets)
    assert flattened(mixed, COLLATE) is mixed


def test_a_collator_of_the_users_own_gets_rows():
    class Own(MultiTaskCollator):
        pass

    rows = simple()
    assert flattened(rows, Own(TOKENIZER, TASKS)) is rows
    assert flattened(rows, list) is rows
    assert isinstance(flattened(rows, COLLATE), FlatRows)
    assert isinstance(flattened(mixture([rows]), COLLATE), FlatRows)


def test_a_tokenizer_that_pads_in_its_own_way_is_left_to_do_so():
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.pad = lambda *args, **kwargs: None
    rows = simple()
    assert flattened(rows, MultiTaskCollator(tokenizer, TASKS)) is rows


@pytest.mark.parametrize("indices", [[-1], [4], [0, 4]])
def test_an_index_of_no_row_is_refused(indices):
    with pytest.raises(IndexError, match=r"must be in 0 to 3, the filler, found \["):
        FlatRows([simple()], COLLATE).__getitems__(indices)


def test_flat_rows_are_few_bytes_and_arrive_whole_in_another_process():
    rows = Dataset.from_dict(
        {
            "input_ids": [[5] * 20] * 5000,
            "attention_mask": [[1] * 20] * 5000,
            "targets": [{"topic": 1}] * 5000,
            "row": [f"news/train/{row}" for row in range(5000)],
        }
    )
    flat = FlatRows([rows], MultiTaskCollator(TOKENIZER, TASKS[:1]))
    sent = pickle.dumps(flat)
    assert len(sent) < 5000 * (20 * 4 + 12 + 8 + 60)
    assert_same(pickle.loads(sent).__getitems__([3, 5000]), flat.__getitems__([3, 5000]))


def test_a_batch_may_be_changed_without_changing_the_rows():
    flat = FlatRows([simple(targets=[{"topic": 1, "price": 1.0}] * 3)], COLLATE)
    before = copy.deepcopy(flat.__getitems__([0, 1]))
    batch = flat.__getitems__([0, 1])
    batch["input_ids"].zero_()
    batch["labels"]["topic"].zero_()
    batch["labels"]["price"].zero_()
    assert_same(flat.__getitems__([0, 1]), before)


def test_indices_may_be_an_array():
    flat = FlatRows([simple()], COLLATE)
    assert_same(flat.__getitems__(np.array([2, 0])), flat.__getitems__([2, 0]))
