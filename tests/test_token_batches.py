"""Micro-batches by tokens: each row once, the budget held, and equally many batches in all processes and epochs."""

import math
from itertools import chain

import numpy as np
import pytest
from accelerate import skip_first_batches
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import Lengths, lognormal
from torch.utils.data import DataLoader

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.data.batches import SAMPLING_STRATEGIES, BatchOrder
from hf_multitask.data.mixing import Mixture
from hf_multitask.data.streaming import StreamedMixture
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.training.argument_parser import parse_arguments
from hf_multitask.training.loading import train_order

GROUPED = {"sampling_strategy": "group_by_length"}


def mixture(*sizes, **values) -> Mixture:
    """Datasets of which each has rows of its own range of lengths."""
    datasets = {
        f"set{source}": Dataset.from_dict({"length": [1 + 5 * source + row * 7919 % 7 for row in range(size)]})
        for source, size in enumerate(sizes)
    }
    return Mixture(datasets, MixingSettings(**values))


def order_of(rows, process_index=0, epoch=0, **values) -> BatchOrder:
    order = BatchOrder(rows, per_device_batch_size=1, process_index=process_index, **values)
    order.set_epoch(epoch)
    return order


def processes(rows, num_processes, epoch=0, **values) -> list[list[list[int]]]:
    """Per process, its micro-batches."""
    return [list(order_of(rows, index, epoch, num_processes=num_processes, **values)) for index in range(num_processes)]


def effective(batches, accumulation, filler) -> list[list[int]]:
    """The rows of each effective batch, of all processes, sorted."""
    steps = [list(chain(*step)) for step in zip(*batches, strict=True)]
    return [
        sorted(row for row in chain(*steps[start : start + accumulation]) if row != filler)
        for start in range(0, len(steps), accumulation)
    ]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=150),
    spare=st.integers(1, 60),
    split=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    epoch=st.integers(0, 3),
    strategy=st.sampled_from(SAMPLING_STRATEGIES),
)
@settings(deadline=None, max_examples=150)
def test_every_row_is_taken_once_within_the_budget_and_all_processes_make_equally_many_steps(
    lengths, spare, split, epoch, strategy
):
    num_processes, accumulation = split
    rows, budget = Lengths(lengths), 2 * max(lengths) + spare
    values = {"max_tokens": budget, "accumulation_steps": accumulation, "sampling_strategy": strategy}
    batches = processes(rows, num_processes, epoch, **values)
    found = [batch for process in batches for batch in process if batch != [len(rows)]]
    assert sorted(chain(*found)) == list(range(len(rows)))
    assert max(rows.tokens[batch].sum() for batch in found) <= budget
    wanted = math.ceil(sum(lengths) / (num_processes * accumulation * (budget - max(lengths))))
    assert {len(process) for process in batches} == {wanted * accumulation}
    assert len(order_of(rows, num_processes=num_processes, **values)) == wanted * accumulation


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
@pytest.mark.parametrize("values", [{}, {"strategy": "uniform"}, {"strategy": "annealed", "temperature": [1, 4]}])
def test_the_effective_batches_are_those_of_the_seed_and_epoch_however_they_are_split(values, strategy):
    mixed, expected, identities = mixture(61, 30, 10, **values), None, []
    for accumulation, num_processes in [(6, 1), (3, 2), (2, 3), (1, 6)]:
        given = {"sampling_strategy": strategy, "seed": 3, "num_epochs": 2, "max_tokens": 40}
        given |= {"accumulation_steps": accumulation}
        batches = processes(mixed, num_processes, 1, **given)
        found = effective(batches, accumulation, len(mixed))
        identities.append(order_of(mixed, num_processes=num_processes, **given).identity())
        assert expected in (None, found)
        expected = found
    assert sorted(chain(*expected)) == sorted(mixed.order(3, 1, 2).tolist())
    assert identities == [identities[0]] * 4


@pytest.mark.parametrize("strategy", ["uniform", "annealed"])
@pytest.mark.parametrize("given", [{"num_epochs": 4}, {"num_epochs": 1, "max_steps": 90}])
def test_epochs_that_draw_other_rows_have_equally_many_batches_all_within_the_budget(strategy, given):
    mixed = mixture(60, 20, 40, strategy=strategy, **({"temperature": [1, 9]} if strategy == "annealed" else {}))
    order = order_of(mixed, accumulation_steps=2, max_tokens=45, **given)
    epochs = math.ceil(order.num_epochs)
    assert epochs > 1
    totals = set()
    for epoch in range(epochs):
        order.set_epoch(epoch)
        batches = list(order)
        assert len(batches) == len(order)
        assert sorted(chain(*batches)) == sorted(mixed.order(0, epoch, order.num_epochs).tolist())
        assert max(mixed.tokens[batch].sum() for batch in batches) <= 45
        totals.add(int(mixed.tokens[list(chain(*batches))].sum()))
    assert len(totals) > 1
    if "max_steps" in given:
        assert order.num_epochs == 90 / (len(order) / 2)


def test_steps_say_when_the_run_ends_and_so_how_far_an_annealed_mixture_gets():
    mixed = mixture(61, 30, 10, strategy="annealed", temperature=[1, 4])
    for values in ({"per_device_batch_size": 4}, {"per_device_batch_size": 4, "max_tokens": 40}):
        order = BatchOrder(mixed, accumulation_steps=3, max_steps=100, **values)
        assert order.num_epochs == pytest.approx(100 / math.ceil(len(order) / 3))


def test_the_tokens_that_an_epoch_draws_are_those_of_its_order():
    for values in ({}, {"strategy": "uniform"}, {"strategy": "annealed", "temperature": [1, 4]}):
        mixed = mixture(61, 30, 10, **values)
        for epoch in range(3):
            assert mixed.drawn_tokens(5, epoch, 3) == mixed.tokens[mixed.order(5, epoch, 3)].sum()


def test_the_tokens_of_a_pair_are_those_of_both_texts():
    pairs = Dataset.from_dict(
        {"input_ids": [[1, 2], [3]], "pair_input_ids": [[1, 2, 3], None], "length": [3, 1], "targets": [{}, {}]}
    )
    mixed = Mixture({"pairs": pairs, "texts": Dataset.from_dict({"length": [4]})}, MixingSettings())
    assert mixed.tokens.tolist() == [5, 1, 4]
    assert mixed.lengths.tolist() == [3, 1, 4]


@pytest.mark.parametrize("skipped", [0, 4, 10])
@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_skipping_the_first_batches_leaves_exactly_the_rest(strategy, skipped):
    mixed = mixture(61, 30, 10)
    for index in range(2):
        order = order_of(mixed, index, num_processes=2, accumulation_steps=2, max_tokens=45, sampling_strategy=strategy)
        loader = DataLoader(mixed, batch_sampler=order, collate_fn=list)
        resumed = skip_first_batches(loader, skipped)
        order.set_epoch(2)
        assert len(resumed) == len(loader) - skipped > 0
        assert list(resumed.batch_sampler) == list(order)[skipped:]


def test_the_order_changes_with_seed_and_epoch_and_repeats_with_them():
    rows = Lengths(np.arange(300) % 13 + 1)
    for values in ({}, GROUPED):
        first, second, third = (list(order_of(rows, epoch=e, max_tokens=64, **values)) for e in (0, 0, 1))
        assert first == second != third


def padding(rows, **values) -> float:
    """Tokens with padding over tokens without."""
    batches = [rows.tokens[batch] for batch in order_of(rows, max_tokens=2048, **values)]
    return sum(len(batch) * batch.max() for batch in batches) / rows.tokens.sum()


def test_grouping_by_length_leaves_little_padding_and_makes_no_curriculum():
    rows = lognormal(40_000, longest=128)
    assert padding(rows) > 1.9
    assert padding(rows, accumulation_steps=2, **GROUPED) <= 1.10
    order = order_of(rows, max_tokens=2048, **GROUPED)
    means = [rows.tokens[batch].mean() for batch in order]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.15
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


def test_batches_are_nearly_as_full_as_the_budget_allows():
    rows = lognormal(40_000, longest=128)
    tokens = np.array([rows.tokens[batch].sum() for batch in order_of(rows, max_tokens=4096)])
    assert tokens.max() <= 4096
    assert tokens.min() > 4096 - 3 * 128


def test_a_budget_that_is_not_above_twice_the_longest_row_is_refused():
    message = r"must be above twice the tokens of the longest row, 9, found 18\. Raise it to 19 or more, or lower max_"
    with pytest.raises(ValueError, match=message):
        order_of(Lengths([9, 1]), max_tokens=18)
    assert list(chain(*order_of(Lengths([9, 1]), max_tokens=19, sampling_strategy="sequential"))) == [0, 1]


def test_the_identity_tells_batches_by_tokens_from_those_by_rows_and_of_other_sizes():
    rows = Lengths([5] * 100)
    identities = [order_of(rows, max_tokens=budget).identity()["batch"] for budget in (40, 80, None)]
    assert len(set(identities)) == 3


def test_less_than_one_token_is_refused(tmp_path):
    with pytest.raises(ValueError, match="max_tokens_per_batch must be at least 1, found 0"):
        MultiTaskTrainingArguments(output_dir=str(tmp_path), max_tokens_per_batch=0)
    assert parse_arguments({"output_dir": str(tmp_path), "max_tokens_per_batch": "64"}).max_tokens_per_batch == 64


def test_rows_whose_tokens_are_not_known_before_are_refused(tmp_path):
    args = MultiTaskTrainingArguments(output_dir=str(tmp_path), max_tokens_per_batch=64, use_cpu=True)
    with pytest.raises(ValueError, match="max_tokens_per_batch must be left out where .* found 64 and a list"):
        train_order([], None, args)
    with pytest.raises(ValueError, match=r"as of streamed ones, found 64 and a StreamedMixture\. Pass per_device"):
        train_order(object.__new__(StreamedMixture), None, args)
