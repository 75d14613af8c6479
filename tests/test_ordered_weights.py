"""Weights in oneDNN's order: the same products, where it pays, and layers as they were behind it."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from architectures import tiny_model
from torch import nn

from hf_multitask.modeling import inference
from hf_multitask.modeling.ordered_weights import ENOUGH_TOKENS, FEWEST_TOKENS, OrderedLinear, ordered_weights
from hf_multitask.modeling.performance import Choices
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

MANY = torch.randn(ENOUGH_TOKENS, 48, generator=torch.Generator().manual_seed(0))
FEW = MANY[:FEWEST_TOKENS]


def layers(bias=True):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(48, 32, bias=bias))


@pytest.fixture
def ordered(monkeypatch):
    """The shapes of the weights that were put into order."""
    found, reorder = [], torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(
        torch.ops.mkldnn, "_reorder_linear_weight", lambda *args: found.append(args[0].shape) or reorder(*args)
    )
    return found


def in_bfloat16():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("bias", [True, False], ids=["with a bias", "without"])
def test_products_are_those_of_autocast_by_the_weight_as_it_lies(bias, ordered):
    model = layers(bias)
    with torch.no_grad(), in_bfloat16():
        expected = model(MANY)
        with ordered_weights(model):
            found = model(MANY[None])[0]
    assert ordered == [(32, 48)]
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


def test_a_weight_is_put_into_order_once_for_many_tokens_or_when_it_is_used_again(ordered):
    model = layers()
    counts = []
    with torch.inference_mode(), in_bfloat16():
        for batches in ([FEW[:-1]] * 3, [FEW], [FEW] * 3, [MANY], [MANY, FEW]):
            with ordered_weights(model):
                for batch in batches:
                    expected = nn.functional.linear(batch, *model[0].parameters())
                    torch.testing.assert_close(model(batch), expected, rtol=0, atol=1e-2)
            counts.append(len(ordered))
            ordered.clear()
    assert counts == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("around", [torch.autocast("cpu", enabled=False), torch.enable_grad()], ids=["float32", "grad"])
def test_where_torch_would_compute_otherwise_it_does(around, ordered):
    model = layers()
    with torch.no_grad(), in_bfloat16(), ordered_weights(model), around:
        assert torch.equal(model(MANY), nn.functional.linear(MANY, *model[0].parameters()))
    assert ordered == []


def test_what_was_learned_in_between_is_seen():
    model = layers()
    for _ in range(2):
        with torch.no_grad(), in_bfloat16(), ordered_weights(model):
            expected = nn.functional.linear(MANY, *model[0].parameters())
            torch.testing.assert_close(model(MANY), expected, rtol=0, atol=1e-2)
        with torch.no_grad():
            model[0].weight.mul_(2)


class Own(nn.Linear):
    """A layer of somebody else's."""


def test_layers_are_what_they_were_afterwards_also_behind_an_error():
    model = nn.Sequential(nn.Linear(2, 2), Own(2, 2))

    def fail():
        with ordered_weights(model):
            assert [type(layer) for layer in model] == [OrderedLinear, Own]
            with ordered_weights(model):
                pass
            assert type(model[0]) is OrderedLinear
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [type(layer) for layer in model] == [nn.Linear, Own]
    with ordered_weights(model, False):
        assert type(model[0]) is nn.Linear


def test_the_last_thread_that_leaves_turns_the_layers_back():
    model, inside, leave = layers(), threading.Event(), threading.Event()

    def stay():
        with ordered_weights(model):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(10)
    with ordered_weights(model):
        pass
    assert type(model[0]) is OrderedLinear
    leave.set()
    thread.join()
    assert type(model[0]) is nn.Linear


def test_a_layer_that_another_thread_turns_back_meanwhile_finishes_its_product():
    (layer,) = layers()
    with torch.no_grad():
        assert torch.equal(OrderedLinear.forward(layer, FEW), layer(FEW))


class Quantized(nn.Parameter):
    """A weight that multiplies by itself, as those of torchao."""


def test_layers_with_weights_of_another_kind_are_left_alone():
    model = layers()
    model[0].weight.__class__ = Quantized
    with ordered_weights(model):
        assert type(model[0]) is nn.Linear


@pytest.mark.parametrize(("choices", "expected"), [(Choices(onednn=True), False), (Choices(bf16=True), True)])
def test_serving_puts_weights_into_order_where_it_rounds_float32_ones_to_bfloat16(choices, expected, monkeypatch):
    seen = []

    def look(model, wanted):
        seen.append(wanted)
        return nullcontext()

    monkeypatch.setattr(inference, "choose", lambda *args: choices)
    monkeypatch.setattr(inference, "ordered_weights", look)
    for model in (tiny_model("bert"), tiny_model("bert").bfloat16()):
        with inference.serving(model):
            pass
    assert seen == [expected, False]


def test_embeddings_are_those_of_weights_as_they_lie(tokenizer, ordered, monkeypatch):
    model = tiny_model("bert")
    model.tokenizer = tokenizer
    texts = ["good film", "they never win again", "bad", "no", "a b c"]
    monkeypatch.setattr(inference, "choose", lambda *args: Choices(bf16=True))
    plain = model.encode(texts, batch_size=2)
    assert ordered == []
    monkeypatch.setattr("hf_multitask.modeling.ordered_weights.FEWEST_TOKENS", 1)
    np.testing.assert_allclose(model.encode(texts, batch_size=2), plain, rtol=0, atol=2e-2)
    assert len(ordered) >= 6 * model.backbone.config.num_hidden_layers


def test_a_stream_has_its_weights_put_into_order_once_a_window_and_reads_the_next_text_without(
    tokenizer, ordered, monkeypatch
):
    pipe = MultiTaskPipeline(tiny_model("bert"), tokenizer, batch_size=2)
    monkeypatch.setattr(inference, "choose", lambda *args: Choices(bf16=True))
    monkeypatch.setattr("hf_multitask.modeling.ordered_weights.FEWEST_TOKENS", 1)
    layers = [module for module in pipe.model.modules() if type(module) is nn.Linear]
    states = []

    def texts(count):
        for _ in range(count):
            states.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), type(layers[0])))
            yield "they never win again"

    assert len(list(pipe(texts(2 * 7)))) == 14
    assert len(ordered) == 2 * len(layers), "of windows of one, two and four batches, those two that use a weight twice"
    assert set(states) == {(True, False, nn.Linear)}
