"""Dropout whose masks are drawn sixteen bits a value: what it computes, and where it stands in for torch's."""

import numpy as np
import pytest
import torch
from architectures import TASKS, tiny_config
from datasets import Dataset
from torch import nn
from torch.nn import functional as F
from transformers import TrainerCallback

from hf_multitask import MultiTaskConfig, MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize
from hf_multitask.modeling import blocks
from hf_multitask.modeling import dropout as module
from hf_multitask.modeling.dropout import LEVELS, QuickDropout, dropout, quick_dropout, quickest_dropout

ROWS = [{"text": "a b c", "targets": {"topic": n % 3, "tone": n % 2}} for n in range(8)]


def dropping_model():
    """A model that drops a tenth everywhere, in training."""
    torch.manual_seed(0)
    config = tiny_config("bert")
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    return MultiTaskModel(MultiTaskConfig(text_config=config, tasks=TASKS)).train()


@pytest.fixture
def quicker(monkeypatch):
    """Says whether the masks are the faster ones."""
    return lambda found: monkeypatch.setattr(module, "is_quicker", lambda threads: found)


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


def test_checkpointed_layers_drop_the_same_again(quicker):
    quicker(True)
    gradients = []
    for checkpointed in (False, True):
        model = dropping_model()
        if checkpointed:
            model.activation_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(1)
        with quick_dropout(model):
            labels = {"topic": torch.tensor([0, 1])}
            model(torch.randint(4, 30, (2, 6)), torch.ones(2, 6, dtype=torch.long), labels=labels).loss.backward()
        gradients.append(model.backbone.embeddings.word_embeddings.weight.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


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


def test_nothing_is_dropped_in_evaluation(quicker):
    quicker(True)
    model = nn.Sequential(nn.Dropout(0.5)).eval()
    with quick_dropout(model):
        assert torch.equal(model(torch.ones(100)), torch.ones(100))


def test_torchs_masks_are_drawn_where_they_are_as_fast(quicker):
    quicker(False)
    torch.manual_seed(3)
    expected = F.dropout(torch.ones(100), 0.5)
    torch.manual_seed(3)
    assert torch.equal(quickest_dropout(torch.ones(100), 0.5), expected)


def test_measuring_leaves_the_generator_as_it_was():
    state = torch.get_rng_state()
    module.is_quicker.__wrapped__(1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, QuickDropout), ({"performance": "off"}, nn.Dropout), ({"packing": "off"}, QuickDropout)],
)
def test_a_trainer_drops_quickly_while_it_trains_unless_told_otherwise(tokenizer, tmp_path, arguments, expected):
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


def test_packed_attention_drops_its_weights_by_the_same_masks(monkeypatch):
    dropped = []
    monkeypatch.setattr(blocks, "quickest_dropout", lambda weights, p: dropped.append(p) or weights)
    places, texts = blocks.in_blocks(np.array([6, 3]), 6, torch.device("cpu"))
    tokens = [torch.randn(2, len(places), 4)] * 3
    how = {"scaling": 0.5, "is_causal": False, "window": None}
    for p in (0.0, 0.1):
        blocks.attend_blocks(texts, *tokens, dropout=p, **how)
    assert set(dropped) == {0.1}
