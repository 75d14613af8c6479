"""All processes together take each row of an epoch once, in batches that do not depend on how many they are."""

from itertools import chain

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import Lengths, lognormal
from torch.utils.data import DataLoader

from hf_multitask.data.batches import SAMPLING_STRATEGIES, BatchOrder
from hf_multitask.data.mixing import Mixture
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.training.arguments import MultiTaskTrainingArguments
from hf_multitask.training.loading import train_loader

GROUPED = {"sampling_strategy": "group_by_length"}


def mixture(*sizes: int, **values) -> Mixture:
    datasets = {}
    for source, size in enumerate(sizes):
        ids = [[source, row] + [0] * (row * 7919 % 23) for row in range(size)]
        targets = [{"topic": 1}] * size
        columns = {"input_ids": ids, "targets": targets, "length": [len(row) for row in ids]}
        datasets[f"set{source}"] = Dataset.from_dict(columns)
    return Mixture(datasets, MixingSettings(**values))


MIXED = mixture(61, 30, 10)  # 101 rows, a prime


def processes(rows, num_processes: int, epoch: int = 0, **values) -> list[list[list[int]]]:
    """Per process, its micro-batches."""
    orders = [
        BatchOrder(rows, num_processes=num_processes, process_index=index, **values) for index in range(num_processes)
    ]
    for order in orders:
        order.set_epoch(epoch)
    return [list(order) for order in orders]


def taken(batches, filler: int) -> list[int]:
    """All rows that all processes take, without fillers."""
    return [row for process in batches for batch in process for row in batch if row != filler]


SPLITS = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))


@given(
    size=st.integers(1, 70),
    split=SPLITS,
    epoch=st.integers(0, 3),
    strategy=st.sampled_from(SAMPLING_STRATEGIES),
)
@settings(deadline=None, max_examples=100)
def test_every_row_is_taken_once_and_all_processes_make_equally_many_steps(size, split, epoch, strategy):
    per_device, accumulation, num_processes = split
    rows = Lengths(np.arange(size) % 13)
    values = {"per_device_batch_size": per_device, "accumulation_steps": accumulation, "sampling_strategy": strategy}
    batches = processes(rows, num_processes, epoch, **values)
    assert sorted(taken(batches, size)) == list(range(size))
    lengths = {len(BatchOrder(rows, num_processes=num_processes, process_index=p, **values)) for p in range(split[2])}
    assert lengths == {len(process) for process in batches}
    # As the Trainer counts: steps in full effective batches, and the rest of them in the last.
    full, rest = divmod(size, per_device * accumulation * num_processes)
    assert lengths == {full * accumulation + -(-rest // (per_device * num_processes))}
    for process in batches:
        assert all(1 <= len(batch) <= per_device for batch in process)


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_rows_are_counted_for_a_size_that_divides_by_none(num_processes, strategy):
    values = {"per_device_batch_size": 4, "accumulation_steps": 2, "sampling_strategy": strategy}
    for epoch in range(2):
        batches = processes(MIXED, num_processes, epoch, **values)
        assert sorted(taken(batches, 101)) == list(range(101))


@pytest.mark.parametrize("values", [{}, {"strategy": "uniform"}, {"strategy": "annealed", "temperature": [1, 4]}])
@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
def test_the_effective_batches_are_those_of_the_seed_and_epoch_however_they_are_split(values, strategy):
    mixed = mixture(61, 30, 10, **values)
    expected = None
    for per_device, accumulation, num_processes in [(12, 1, 1), (4, 3, 1), (3, 2, 2), (2, 3, 2), (4, 1, 3), (2, 2, 3)]:
        batches = processes(
            mixed,
            num_processes,
            epoch=1,
            per_device_batch_size=per_device,
            accumulation_steps=accumulation,
            sampling_strategy=strategy,
            seed=3,
            num_epochs=2,
        )
        steps = [list(chain(*step)) for step in zip(*batches, strict=True)]
        effective = [
            sorted(row for row in chain(*steps[start : start + accumulation]) if row != len(mixed))
            for start in range(0, len(steps), accumulation)
        ]
        assert expected in (None, effective)
        expected = effective
    assert sorted(chain(*expected)) == sorted(mixed.order(3, 1, 2).tolist())


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_the_order_changes_with_seed_and_epoch_and_repeats_with_them(strategy):
    def batches(seed, epoch):
        return processes(MIXED, 1, epoch, per_device_batch_size=8, seed=seed, sampling_strategy=strategy)

    assert batches(0, 1) == batches(0, 1)
    assert batches(0, 1) != batches(0, 2)
    assert batches(0, 1) != batches(1, 1)


def test_random_takes_the_order_of_the_mixture():
    order = BatchOrder(MIXED, per_device_batch_size=8, seed=4, num_epochs=3)
    order.set_epoch(2)
    assert list(chain(*order)) == MIXED.order(4, 2, 3).tolist()


def test_sequential_takes_the_rows_one_after_another():
    (batches,) = processes(MIXED, 1, per_device_batch_size=8, sampling_strategy="sequential")
    assert list(chain(*batches)) == list(range(101))
    mixed = mixture(6, 2, strategy="uniform")
    drawn = list(chain(*BatchOrder(mixed, per_device_batch_size=3, sampling_strategy="sequential")))
    assert drawn == sorted(drawn)
    assert drawn[-4:] == [6, 6, 7, 7]


def test_the_last_short_batch_is_spread_evenly():
    batches = processes(Lengths([1] * 29), 2, per_device_batch_size=4, accumulation_steps=3)  # 24 and 5 rows
    assert [[len(batch) for batch in process] for process in batches] == [[4, 4, 4, 3], [4, 4, 4, 2]]
    batches = processes(Lengths([1] * 34), 2, per_device_batch_size=4, accumulation_steps=3)  # 24 and 10 rows
    assert [[len(batch) for batch in process] for process in batches] == [[4, 4, 4, 3, 2], [4, 4, 4, 3, 2]]


def test_a_process_without_a_row_takes_the_filler():
    batches = processes(Lengths([1] * 13), 3, per_device_batch_size=4)
    assert [process[1] for process in batches][1:] == [[13], [13]]
    assert len(batches[0][1]) == 1
    assert 13 not in batches[0][1]


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
def test_drop_last_leaves_out_the_short_batch_alone(strategy):
    values = {"per_device_batch_size": 4, "accumulation_steps": 2, "sampling_strategy": strategy, "drop_last": True}
    batches = processes(MIXED, 3, **values)
    rows = taken(batches, -1)
    assert len(rows) == len(set(rows)) == 96
    assert {len(process) for process in batches} == {8} == {len(BatchOrder(MIXED, num_processes=3, **values))}
    assert {len(batch) for process in batches for batch in process} == {4}
    assert set(rows) <= set(range(101))


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("skipped", [0, 4, 10, 12])
@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_skipping_the_first_batches_leaves_exactly_the_rest(strategy, skipped, epoch):
    values = {"per_device_batch_size": 4, "accumulation_steps": 2, "sampling_strategy": strategy}
    for index in range(2):
        order = BatchOrder(MIXED, num_processes=2, process_index=index, **values)
        loader = DataLoader(MIXED, batch_sampler=order, collate_fn=list)
        resumed = skip_first_batches(loader, skipped)
        order.set_epoch(epoch)
        assert len(resumed) == len(loader) - skipped
        assert list(resumed) == list(loader)[skipped:]
        assert resumed.batch_sampler.batch_sampler is order  # where the Trainer looks for set_epoch on resuming
    assert len(loader) == 13


@pytest.mark.slow
def test_the_order_does_not_depend_on_the_number_of_workers():
    order = BatchOrder(MIXED, per_device_batch_size=8, accumulation_steps=2, seed=2)
    alone = DataLoader(MIXED, batch_sampler=order, collate_fn=list)
    workers = DataLoader(MIXED, batch_sampler=order, collate_fn=list, num_workers=2, timeout=120)
    assert list(workers) == list(alone)


@pytest.mark.slow
def test_a_trainers_loader_can_start_its_workers_in_new_processes(tmp_path):
    workers = {"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "spawn"}
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **workers)
    order = BatchOrder(MIXED, per_device_batch_size=8, seed=2)
    assert list(train_loader(order, list, args)) == [list(MIXED.__getitems__(batch)) for batch in order]


def test_iterating_uses_no_global_random_number():
    state = torch.get_rng_state()
    list(BatchOrder(MIXED, per_device_batch_size=8, **GROUPED))
    assert torch.equal(state, torch.get_rng_state())


def padding(rows: Lengths, **values) -> float:
    """Tokens with padding over tokens without."""
    batches = [rows.lengths[batch] for batch in BatchOrder(rows, **values)]
    return sum(len(batch) * batch.max() for batch in batches) / rows.lengths.sum()


@pytest.mark.parametrize("count", [2430, 20_000])
def test_grouping_by_length_leaves_a_tenth_of_padding_at_most(count):
    rows = lognormal(count)
    assert padding(rows, per_device_batch_size=32) > 1.9
    assert padding(rows, per_device_batch_size=32, **GROUPED) <= 1.10
    assert padding(rows, per_device_batch_size=32, accumulation_steps=4, **GROUPED) <= 1.05


@pytest.mark.parametrize("count", [20_000, 20_031])
def test_grouping_by_length_makes_no_curriculum(count):
    rows = lognormal(count)
    correlations = []
    for epoch in range(8):
        (batches,) = processes(rows, 1, epoch, per_device_batch_size=32, **GROUPED)
        lengths = [rows.lengths[batch].mean() for batch in batches]
        correlations.append(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1])
        neighbours = np.corrcoef(lengths[:-1], lengths[1:])[0, 1]
        assert abs(neighbours) < 0.2
    assert np.max(np.abs(correlations)) < 0.15  # 0.04 is one standard deviation of chance
    assert abs(np.mean(correlations)) < 0.05


def test_grouping_by_length_stays_within_its_window():
    """So that a mixture that changes in the course of a run changes with grouping, too."""
    rows = lognormal(20_000)
    random, grouped = (list(chain(*BatchOrder(rows, per_device_batch_size=32, **v))) for v in ({}, GROUPED))
    places = np.empty(len(rows), dtype=int)
    places[random] = np.arange(len(rows))
    assert np.abs(places[grouped] - np.arange(len(rows))).max() < 65 * 32


def test_the_short_batch_of_grouped_rows_is_last_and_of_any_length_of_rows():
    rows = Lengths(np.arange(40))
    means = []
    for epoch in range(60):
        (batches,) = processes(rows, 1, epoch, per_device_batch_size=9, **GROUPED)
        assert [len(batch) for batch in batches] == [9, 9, 9, 9, 4]
        means.append(np.mean(batches[-1]))
    assert min(means) < 5
    assert max(means) > 35


def test_the_processes_of_a_step_have_rows_of_similar_length():
    rows = lognormal(4800)
    batches = processes(rows, 3, per_device_batch_size=8, accumulation_steps=4, **GROUPED)
    longest = np.array([[rows.lengths[batch].max() for batch in process] for process in batches])  # (P, steps)
    assert longest.max(axis=0).sum() <= 1.05 * longest.mean(axis=0).sum()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"per_device_batch_size": 0}, "must be at least 1"),
        ({"accumulation_steps": 0}, "must be at least 1"),
        ({"num_processes": 2, "process_index": 2}, "process_index below num_processes"),
        ({"sampling_strategy": "batch_rebalance"}, "train_sampling_strategy must be one of"),
        ({"per_device_batch_size": 102, "drop_last": True}, "There must be a full batch of 102 rows"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        BatchOrder(MIXED, **{"per_device_batch_size": 4, **values})
