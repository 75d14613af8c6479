"""Several datasets share an epoch as they are told to, and what an epoch draws is a matter of seed and epoch alone."""

import random

import numpy as np
import pytest
import torch
from conftest import make_tokenizer
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_multitask import MultiTaskCollator, Task
from hf_multitask.data.mixing import SEGMENTS, Mixture
from hf_multitask.settings.mixing_settings import MixingSettings, parse_mixing

NAMES = ("a", "b", "c")
SIZES = (100, 25, 4)


def dataset(name: str, size: int) -> Dataset:
    """Rows that say whose they are: of dataset `b`, row 3 has the first token 1003."""
    ids = [[1000 * NAMES.index(name) + row] * (1 + row % 7) for row in range(size)]
    targets = [{"topic": row % 3, "mood": None} for row in range(size)]
    return Dataset.from_dict({"input_ids": ids, "targets": targets, "length": [len(row) for row in ids]})


def mixture(sizes=SIZES, **values) -> Mixture:
    datasets = {name: dataset(name, size) for name, size in zip(NAMES, sizes, strict=False)}
    return Mixture(datasets, MixingSettings(**values))


def drawn(mixed: Mixture, order) -> list[int]:
    """How many rows of each dataset are in an order."""
    ends = np.cumsum([len(rows) for rows in mixed.datasets.values()])
    return np.bincount(np.searchsorted(ends, order, side="right"), minlength=len(ends)).tolist()


STRATEGIES = [
    {},
    {"strategy": "temperature", "temperature": 2},
    {"strategy": "temperature", "temperature": 0.001},
    {"strategy": "uniform"},
    {"strategy": "weights", "weights": {"a": 1, "b": 0.5, "c": 0}},
    {"strategy": "annealed", "temperature": [1, 5]},
]


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({}, [100, 25, 4]),
        # 10 : 5 : 2 of 129 is 75.9, 37.9, 15.2
        ({"strategy": "temperature", "temperature": 2}, [76, 38, 15]),
        # 25 : 25 : 4 of 129 is 59.7, 59.7, 9.6
        ({"strategy": "temperature", "temperature": 1, "size_cap": 25}, [60, 60, 9]),
        # 5 : 5 : 2 of 129 is 53.75, 53.75, 21.5
        ({"strategy": "temperature", "temperature": 2.0, "size_cap": 25}, [54, 54, 21]),
        ({"strategy": "uniform"}, [43, 43, 43]),
        # 32.25 and 96.75
        ({"strategy": "weights", "weights": {"c": 0, "a": 1, "b": 3}}, [32, 97, 0]),
        ({"strategy": "annealed", "temperature": [2, 2]}, [76, 38, 15]),
        ({"strategy": "annealed", "temperature": [1, 1], "size_cap": 25}, [60, 60, 9]),
    ],
)
def test_an_epoch_draws_from_each_dataset_its_share(values, counts):
    mixed = mixture(**values)
    assert mixed.shares() == dict(zip(NAMES, counts, strict=True))
    for epoch in range(3):
        assert drawn(mixed, mixed.order(0, epoch, 3)) == counts


def test_the_annealed_temperature_goes_linearly_through_the_whole_run():
    mixed = mixture((14_400, 1600), strategy="annealed", temperature=[1, 4])
    for epoch in range(2):
        segments = np.split(mixed.order(0, epoch, 2), SEGMENTS)  # of 500 rows
        for index, segment in enumerate(segments):
            temperature = 1 + 3 * (epoch + (index + 0.5) / SEGMENTS) / 2
            share = 1 / (1 + 9 ** (1 / temperature))  # of the smaller, from 0.1 to 0.37
            assert drawn(mixed, segment)[1] == pytest.approx(share * len(segment), abs=2)


def test_an_annealed_run_that_goes_on_longer_than_announced_keeps_its_last_temperature():
    annealed = mixture(strategy="annealed", temperature=[1, 2])
    assert annealed.shares(epoch=5, num_epochs=2) == mixture(strategy="temperature", temperature=2).shares()


@pytest.mark.parametrize("values", STRATEGIES)
def test_an_epoch_draws_as_many_rows_as_there_are(values):
    mixed = mixture(**values)
    assert len(mixed) == len(mixed.order(3, 1, 2)) == sum(mixed.shares(1, 2).values()) == sum(SIZES)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3), seed=st.integers(0, 2**40), epoch=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_proportional_draws_every_row_exactly_once(sizes, seed, epoch):
    mixed = mixture(sizes)
    assert sorted(mixed.order(seed, epoch)) == list(range(len(mixed)))


@given(sizes=st.lists(st.integers(1, 40), min_size=3, max_size=3), values=st.sampled_from(STRATEGIES))
@settings(deadline=None, max_examples=30)
def test_over_any_number_of_epochs_no_row_is_drawn_two_times_more_than_another_of_its_dataset(sizes, values):
    mixed = mixture(sizes, **values)
    counts = np.zeros(len(mixed), dtype=int)
    for epoch in range(5):
        counts += np.bincount(mixed.order(7, epoch, 4), minlength=len(mixed))
        for rows in np.split(counts, np.cumsum(sizes)[:-1]):
            assert rows.max() - rows.min() <= 1


@pytest.mark.parametrize("values", STRATEGIES)
def test_the_order_is_a_function_of_seed_and_epoch_alone(values):
    first = mixture(**values).order(5, 2, 4)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what must not matter
    random.seed(1)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again = mixture(**values)
    again.order(6, 0, 4)
    np.testing.assert_array_equal(first, again.order(5, 2, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert np.random.get_state()[2] == 624  # noqa: NPY002 - not one number of it was used
    for seed, epoch in ((6, 2), (5, 3)):
        assert not np.array_equal(first, again.order(seed, epoch, 4))


def test_two_seeds_or_epochs_do_not_begin_alike():
    mixed = mixture((500, 500))
    orders = [mixed.order(seed, epoch) for seed in range(4) for epoch in range(4)]
    agreements = [(x == y).sum() for i, x in enumerate(orders) for y in orders[:i]]
    assert max(agreements) < 10  # 1 is expected of two permutations


def test_the_datasets_alternate_differently_in_each_epoch():
    mixed = mixture((40, 40))
    assert not np.array_equal(mixed.order(0, 0) < 40, mixed.order(0, 1) < 40)


def test_the_datasets_are_mixed_all_through_the_epoch():
    mixed = mixture((400, 400), strategy="uniform")
    for part in np.split(mixed.order(0, 0), 10):
        assert drawn(mixed, part) == pytest.approx([40, 40], abs=20)


def test_rows_come_in_the_order_asked_for_from_all_datasets():
    mixed = mixture()
    indices = [128, 0, 100, 99, 124, 125, 0]
    expected = [2003, 0, 1000, 99, 1024, 2000, 0]
    assert [row["input_ids"][0] for row in mixed.__getitems__(indices)] == expected
    assert [mixed[index]["input_ids"][0] for index in indices] == expected
    assert mixed[101] == dataset("b", 25)[1]


def test_a_batch_reads_each_dataset_once(monkeypatch):
    mixed = mixture()
    reads = []
    read = Dataset.__getitems__
    monkeypatch.setattr(Dataset, "__getitems__", lambda self, keys: reads.append(len(keys)) or read(self, keys))
    mixed.__getitems__([128, 0, 127, 3, 126, 2])
    assert reads == [3, 3]


def test_the_filler_has_tokens_and_no_labels():
    mixed = mixture()
    tokenizer = make_tokenizer()
    filler = mixed[len(mixed)]
    assert filler["input_ids"] == mixed[0]["input_ids"]
    assert filler["targets"] == {"topic": None, "mood": None}
    assert mixed[0]["targets"]["topic"] is not None
    tasks = [Task(name=name, labels=("a", "b", "c")) for name in ("topic", "mood")]
    batch = MultiTaskCollator(tokenizer, tasks)([filler])
    assert {task: labels.tolist() for task, labels in batch["labels"].items()} == {"topic": [-100], "mood": [-100]}


@pytest.mark.parametrize("index", [-1, 130])
def test_an_index_beyond_the_filler_is_refused(index):
    with pytest.raises(IndexError, match="must be in 0 to 129"):
        mixture()[index]


def test_lengths_are_those_of_the_rows():
    mixed = mixture()
    assert mixed.lengths.tolist() == [len(mixed[index]["input_ids"]) for index in range(len(mixed))]


@pytest.mark.parametrize(("datasets", "found"), [({}, "no dataset"), ({"a": dataset("a", 1).select([])}, "none in")])
def test_a_mixture_of_nothing_is_refused(datasets, found):
    with pytest.raises(ValueError, match=f"must be of datasets with rows, found {found}"):
        Mixture(datasets, MixingSettings())


def test_the_mixture_checks_its_settings():
    with pytest.raises(ValueError, match="mixing.weights: every key must be known, found 'd'"):
        mixture(strategy="weights", weights={"a": 1, "b": 1, "c": 1, "d": 1})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("uniform", MixingSettings(strategy="uniform")),
        ({}, MixingSettings(strategy="proportional")),
        (
            {"strategy": "temperature", "temperature": 3, "size_cap": None},
            MixingSettings(strategy="temperature", temperature=3),
        ),
    ],
)
def test_a_configuration_names_a_strategy_or_describes_one(value, expected):
    assert parse_mixing(value, NAMES) == expected


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("unifrom", "mixing.strategy must be one of"),
        (3, "mixing must be a mapping"),
        ({"stratgy": "uniform"}, "mixing: every key must be known"),
        ({"strategy": "temperature", "temperature": "hot"}, "mixing.temperature must be"),
        ({"strategy": "temperature", "temperature": True}, "mixing.temperature must be"),
        ({"strategy": "temperature"}, "mixing.temperature must be one number"),
        ({"strategy": "temperature", "temperature": [1, 2]}, "mixing.temperature must be one number"),
        ({"strategy": "temperature", "temperature": 0}, "mixing.temperature must be finite and above 0"),
        ({"strategy": "temperature", "temperature": float("inf")}, "mixing.temperature must be finite"),
        ({"strategy": "temperature", "temperature": float("nan")}, "mixing.temperature must be finite"),
        ({"strategy": "annealed"}, "mixing.temperature must be two numbers"),
        ({"strategy": "annealed", "temperature": 2}, "mixing.temperature must be two numbers"),
        ({"strategy": "annealed", "temperature": [1]}, "mixing.temperature must be two numbers"),
        ({"strategy": "annealed", "temperature": [1, 2, 3]}, "mixing.temperature must be two numbers"),
        ({"strategy": "annealed", "temperature": [1, -2]}, "mixing.temperature must be finite and above 0"),
        ({"strategy": "temperature", "temperature": 2, "size_cap": 0}, "mixing.size_cap must be at least 1 row"),
        ({"temperature": 2}, "mixing.temperature must be left out"),
        ({"strategy": "uniform", "size_cap": 2}, "mixing.size_cap must be left out"),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "mixing.weights must be left out"),
        ({"strategy": "annealed", "temperature": [1, 2], "weights": {"a": 1}}, "mixing.weights must be left out"),
        ({"strategy": "weights"}, "mixing.weights must have a weight for every dataset"),
        ({"strategy": "weights", "weights": {"a": 1, "b": 1}}, "mixing.weights must have a weight for every dataset"),
        ({"strategy": "weights", "weights": {"a": 1, "b": 1, "C": 1}}, "mixing.weights: every key must be known"),
        ({"strategy": "weights", "weights": {"a": 1, "b": 1, "c": -1}}, "mixing.weights.c must be a finite number"),
        ({"strategy": "weights", "weights": {"a": 1, "b": 1, "c": True}}, "mixing.weights"),
        ({"strategy": "weights", "weights": {"a": 0, "b": 0, "c": float("inf")}}, "mixing.weights.c must be a finite"),
        ({"strategy": "weights", "weights": {"a": 0, "b": 0, "c": 0.0}}, "mixing.weights must have one above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(value, start):
    with pytest.raises(ValueError) as error:
        parse_mixing(value, NAMES)
    message = str(error.value)
    assert message.startswith(start)
    assert "must" in message
    assert "found" in message
    assert message.endswith(".")
