"""Weights in oneDNN's order: the same products, for many tokens only, and layers as they were behind it."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from architectures import tiny_model
from torch import nn

from hf_multitask.modeling import inference, ordered_weights
from hf_multitask.modeling.matmul import onednn_matmul
from hf_multitask.modeling.ordered_weights import ENOUGH_TOKENS, FEWEST_TOKENS, OrderedLinear
from hf_multitask.modeling.performance import Choices

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


@pytest.mark.parametrize("bias", [True, False], ids=["with a bias", "without"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_those_of_onednn_by_the_weight_as_it_lies(dtype, bias, ordered):
    model = layers(bias)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.no_grad(), onednn_matmul(), autocast:
        expected = model(MANY)
        with ordered_weights.ordered_weights(model, dtype):
            found = model(MANY[None])[0]
    assert ordered == [(32, 48)]
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-2)


def test_a_weight_is_put_into_order_once_for_many_tokens_or_when_it_is_used_again(ordered):
    model = layers()
    counts = []
    with torch.inference_mode():
        for batches in ([FEW[:-1]] * 3, [FEW], [FEW] * 3, [MANY], [MANY, FEW]):
            with ordered_weights.ordered_weights(model, torch.float32):
                for batch in batches:
                    torch.testing.assert_close(model(batch), nn.functional.linear(batch, *model[0].parameters()))
            counts.append(len(ordered))
            ordered.clear()
    assert counts == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("dtype", "around"),
    [
        (torch.bfloat16, nullcontext()),
        (torch.float32, torch.autocast("cpu", torch.bfloat16)),
        (torch.float32, torch.enable_grad()),
    ],
    ids=["bfloat16 out of autocast", "float32 within it", "gradients"],
)
def test_where_torch_would_compute_otherwise_it_does(dtype, around, ordered):
    model = layers()
    with torch.no_grad(), ordered_weights.ordered_weights(model, dtype), around:
        found = model(MANY)
        assert torch.equal(found, nn.functional.linear(MANY, *model[0].parameters()))
    assert ordered == []


def test_what_was_learned_in_between_is_seen():
    model = layers()
    for _ in range(2):
        with torch.no_grad(), ordered_weights.ordered_weights(model, torch.float32):
            torch.testing.assert_close(model(MANY), nn.functional.linear(MANY, *model[0].parameters()))
        with torch.no_grad():
            model[0].weight.mul_(2)


class Own(nn.Linear):
    """A layer of somebody else's."""


def test_layers_are_what_they_were_afterwards_also_behind_an_error():
    model = nn.Sequential(nn.Linear(2, 2), Own(2, 2))

    def fail():
        with ordered_weights.ordered_weights(model, torch.float32):
            assert [type(layer) for layer in model] == [OrderedLinear, Own]
            with ordered_weights.ordered_weights(model, torch.float32):
                pass
            assert type(model[0]) is OrderedLinear
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [type(layer) for layer in model] == [nn.Linear, Own]
    with ordered_weights.ordered_weights(model, None):
        assert type(model[0]) is nn.Linear


def test_the_last_thread_that_leaves_turns_the_layers_back():
    model, inside, leave = layers(), threading.Event(), threading.Event()

    def stay():
        with ordered_weights.ordered_weights(model, torch.float32):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(10)
    with ordered_weights.ordered_weights(model, torch.float32):
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
    with ordered_weights.ordered_weights(model, torch.float32):
        assert type(model[0]) is nn.Linear


@pytest.mark.parametrize(
    ("choices", "expected"),
    [(Choices(onednn=True), torch.float32), (Choices(onednn=True, bf16=True), torch.bfloat16), (Choices(), None)],
)
def test_serving_puts_weights_into_order_where_onednn_multiplies(choices, expected, monkeypatch):
    seen = []

    def look(model, dtype):
        seen.append(dtype)
        return nullcontext()

    monkeypatch.setattr(inference, "choose", lambda *args: choices)
    monkeypatch.setattr(inference, "ordered_weights", look)
    for model in (tiny_model("bert"), tiny_model("bert").bfloat16()):
        with inference.serving(model):
            pass
    assert seen == [expected, None]


def test_embeddings_are_the_same(tokenizer, ordered, monkeypatch):
    monkeypatch.setattr(ordered_weights, "FEWEST_TOKENS", 1)
    model = tiny_model("bert")
    model.tokenizer = tokenizer
    texts = ["good film", "they never win again", "bad", "no", "a b c"]
    found = {}
    for choices in (Choices(), Choices(onednn=True)):
        monkeypatch.setattr(inference, "choose", lambda *args, choices=choices: choices)
        found[choices.onednn] = model.encode(texts, batch_size=2)
    assert len(ordered) >= 6 * model.backbone.config.num_hidden_layers
    np.testing.assert_allclose(found[True], found[False], rtol=0, atol=1e-6)
