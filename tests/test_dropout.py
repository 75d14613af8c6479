"""Dropout whose masks are drawn sixteen bits a value: what it computes, and where it stands in for torch's."""

import copy
import logging
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from architectures import TASKS, tiny_config
from datasets import Dataset
from torch import nn
from transformers import TrainerCallback

from hf_multitask import MultiTaskConfig, MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize
from hf_multitask.modeling import blocks, performance
from hf_multitask.modeling.dropout import FEWEST, LEVELS, QuickDropout, dropout, dropout_gain, quick_dropout
from hf_multitask.modeling.inference import serving
from hf_multitask.modeling.packing import PACKED_ATTENTION, packing_of
from hf_multitask.modeling.processor import Processor
from hf_multitask.training.computing import fast

ROWS = [{"text": "a b c", "targets": {"topic": n % 3, "tone": n % 2}} for n in range(8)]


def dropping_model():
    """A model that drops a tenth everywhere, in training."""
    torch.manual_seed(0)
    config = tiny_config("bert")
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    return MultiTaskModel(MultiTaskConfig(text_config=config, tasks=TASKS)).train()


@pytest.fixture
def quick(monkeypatch):
    """For the smallest tensor too, on a processor where it is chosen, as if it were five times as fast."""
    monkeypatch.setattr("hf_multitask.modeling.dropout.FEWEST", 1)
    monkeypatch.setattr(blocks, "FEWEST", 1)
    monkeypatch.setattr(performance, "dropout_gain", lambda threads: 5.0)
    monkeypatch.setattr(performance, "processor", Processor)
    performance._with_dropout.cache_clear()
    yield
    performance._with_dropout.cache_clear()


def seeds(monkeypatch):
    """Grows by one for each mask that is drawn quickly."""
    found = []
    draw = np.random.SFC64
    monkeypatch.setattr(np.random, "SFC64", lambda seed: found.append(seed) or draw(seed))
    return found


def learn(model, ids=None):
    labels = {"topic": torch.tensor([0, 1])}
    ids = torch.randint(4, 30, (2, 6)) if ids is None else ids
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    model(ids, mask, labels=labels).loss.backward()


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_values_are_dropped_at_the_rate_and_the_others_scaled_to_the_same_expectation(p):
    found = dropout(torch.ones(1000, 1000), p)
    rate = round(p * LEVELS) / LEVELS
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-6)
    error = (p * (1 - p) / 1e6) ** 0.5
    assert (found == 0).double().mean().item() == pytest.approx(p, abs=5 * error + 0.5 / LEVELS)


def test_a_value_is_dropped_whatever_became_of_its_neighbours():
    dropped = (dropout(torch.ones(1000, 1000), 0.3) == 0).double() - 0.3
    for lag in (1, 2, 3, 4, 1000):
        flat = dropped.flatten()
        assert (flat[lag:] * flat[:-lag]).mean().item() / 0.21 == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 5), (0, 4)])
def test_shape_and_type_are_those_of_the_values(shape, dtype):
    found = dropout(torch.ones(shape, dtype=dtype), 0.5)
    assert (found.shape, found.dtype) == (shape, dtype)


@pytest.mark.parametrize(("p", "factor"), [(0.0, 1), (1.0, 0), (1e-9, 1)])
def test_all_or_nothing_may_be_dropped(p, factor):
    assert dropout(torch.arange(9.0), p).tolist() == (factor * torch.arange(9.0)).tolist()


def test_the_state_of_torchs_generator_brings_the_mask_back():
    values = torch.ones(100)
    state = torch.get_rng_state()
    first, second = dropout(values, 0.5), dropout(values, 0.5)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout(values, 0.5), first)


def test_what_is_dropped_has_no_gradient_and_the_rest_is_scaled():
    values = torch.randn(50, dtype=torch.float64, requires_grad=True)
    found = dropout(values, 0.5)
    found.sum().backward()
    torch.testing.assert_close(values.grad * values.detach(), found.detach(), rtol=0, atol=0)


def test_checkpointed_layers_drop_the_same_again(quick, monkeypatch):
    drawn = seeds(monkeypatch)
    gradients = []
    for checkpointed in (False, True):
        model = dropping_model()
        if checkpointed:
            model.activation_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(1)
        with quick_dropout(model):
            learn(model)
        gradients.append(model.backbone.embeddings.word_embeddings.weight.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)
    assert len(set(drawn)) < len(drawn)


def test_layers_are_torchs_again_behind_an_error_and_others_are_left_alone():
    class Own(nn.Dropout):
        pass

    model = nn.Sequential(nn.Dropout(0.1), Own(0.1), nn.Dropout(0.1, inplace=True), nn.Dropout1d(0.1))
    before = [type(layer) for layer in model]
    seen = []

    def compute():
        with quick_dropout(model):
            seen.extend(type(layer) for layer in model)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        compute()
    assert seen == [QuickDropout, *before[1:]]
    assert [type(layer) for layer in model] == before


def test_nothing_is_dropped_in_evaluation(quick):
    model = nn.Sequential(nn.Dropout(0.5)).eval()
    with quick_dropout(model):
        assert torch.equal(model(torch.ones(100)), torch.ones(100))


@pytest.mark.parametrize(("count", "is_quick"), [(FEWEST - 1, False), (FEWEST, True)])
def test_torch_draws_small_masks_where_it_is_as_fast(count, is_quick, monkeypatch):
    drawn = seeds(monkeypatch)
    with quick_dropout(model := nn.Sequential(nn.Dropout(0.5))):
        model(torch.ones(count))
    assert len(drawn) == is_quick


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_no_probability_is_refused_as_by_torch(p):
    with pytest.raises(ValueError, match="probability"):
        dropout(torch.ones(3), p)


def test_the_scale_is_exact_whatever_torchs_default_type_is():
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = dropout(torch.ones(50, dtype=torch.float64), 0.1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.max().item() == LEVELS / (LEVELS - 6554)


def test_a_copy_made_in_between_drops_as_torch_does(quick, monkeypatch):
    model = nn.Sequential(nn.Dropout(0.5))
    with quick_dropout(model):
        copied = copy.deepcopy(model)
    drawn = seeds(monkeypatch)
    copied(torch.ones(100))
    assert drawn == []


@pytest.mark.parametrize("how", ["served before", "packed and off"])
def test_packed_attention_drops_as_torch_does_unless_told_otherwise(how, quick, monkeypatch, tmp_path):
    drawn, model = seeds(monkeypatch), dropping_model()
    with serving(model, "exact"):
        assert model.config.text_config._attn_implementation == PACKED_ATTENTION
    args = MultiTaskTrainingArguments(str(tmp_path), performance="off", packing="on", use_cpu=True)
    with fast(model, args) if how == "packed and off" else nullcontext():
        learn(model.train())
    assert drawn == []
    with fast(model, MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)):
        learn(model)
    assert len(drawn) == 1 + 2 * 3 + 3  # embeddings, two a layer, and one for all texts in its attention


def test_measuring_leaves_the_generator_as_it_was():
    state = torch.get_rng_state()
    assert dropout_gain.__wrapped__(1) > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_what_was_chosen_is_a_reason_of_training_alone(quick):
    assert not performance.choose("exact", "cpu").dropout
    found = performance.choose("exact", "cpu", training=True)
    assert found.dropout
    assert found.reasons[-1] == "masks of dropout by 16 bits a value: 16 bits a value are 5.00x as fast as torch's"


def test_what_was_chosen_for_training_is_not_said_again_for_serving(quick, caplog):
    performance._choose.cache_clear()
    with caplog.at_level(logging.INFO):
        for training in (True, False, True):
            performance.choose("exact", "cpu", training=training)
    assert len(caplog.messages) == len(set(caplog.messages)) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, QuickDropout), ({"performance": "off"}, nn.Dropout), ({"packing": "off"}, QuickDropout)],
)
def test_a_trainer_drops_quickly_while_it_trains_unless_told_otherwise(tokenizer, tmp_path, arguments, expected, quick):
    seen = set()

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, model, **kwargs):
            seen.update(type(layer) for layer in model.modules() if isinstance(layer, nn.Dropout))

    model = dropping_model()
    args = MultiTaskTrainingArguments(str(tmp_path), max_steps=1, report_to="none", use_cpu=True, **arguments)
    how = {"processing_class": tokenizer, "callbacks": [Look()]}
    MultiTaskTrainer(model, args, train_dataset=tokenize(Dataset.from_list(ROWS), tokenizer, 8), **how).train()
    assert seen == {expected}
    assert {type(layer) for layer in model.modules() if isinstance(layer, nn.Dropout)} == {nn.Dropout}


def test_packed_attention_drops_its_weights_at_the_rate(quick):
    places, texts = blocks.in_blocks(np.array([60, 60, 50]), 60, torch.device("cpu"))
    tokens = [torch.zeros(2, len(places), 60), torch.zeros(2, len(places), 60), torch.ones(2, len(places), 60)]
    with quick_dropout(nn.Identity()):
        seen = blocks.attend_blocks(texts, places, *tokens, dropout=0.25, scaling=1.0, is_causal=False, window=None)
    # Equal weights of ones: what is seen is the share that was kept, over what is kept on average.
    assert seen.mean().item() == pytest.approx(1, abs=5 * (0.25 / 0.75 / (2 * 60 * 150)) ** 0.5)
    assert seen.std().item() == pytest.approx((0.25 / 0.75 / 58) ** 0.5, rel=0.2)


def test_a_single_text_is_packed_where_it_learns_and_not_where_it_is_served():
    ids, mask = torch.ones(1, 5, dtype=torch.long), torch.ones(1, 5, dtype=torch.long)
    assert packing_of(mask, ids, "bert", 0) is not None
    with torch.no_grad():
        assert packing_of(mask, ids, "bert", 0) is None
        assert packing_of(torch.tensor([[1, 1, 1, 0, 0]]), ids, "bert", 0) is not None
