"""Attention within blocks of short texts on a CPU: what it computes, its gradients, and in which precision."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hf_multitask.modeling.block_attention import BlockAttention
from hf_multitask.modeling.blocks import in_blocks
from hf_multitask.modeling.matmul import default_matmul, onednn_matmul

SIZES = [(2, 3), (1, 5)]
"""Two texts of up to 3 tokens, and one of 5."""

HEADS, SIZE, SCALING = 2, 4, 0.5


def tokens(dtype=torch.float64, count=3):
    generator = torch.Generator().manual_seed(0)
    total = sum(texts * length for texts, length in SIZES)
    drawn = (torch.randn(total, HEADS, SIZE, generator=generator, dtype=torch.float64) for _ in range(count))
    return [values.to(dtype).requires_grad_() for values in drawn]


def masks():
    """The second text has two tokens; of the third, each token sees those before it."""
    return [torch.tensor([[[True, True, True]], [[True, True, False]]]), torch.ones(5, 5, dtype=torch.bool).tril()]


def biases(dtype=torch.float64):
    """The same as what is added to scores."""
    hidden = [torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf")) for mask in masks()]
    return [hidden[0].repeat_interleave(HEADS, dim=0), hidden[1]]


def factors(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = [(texts * HEADS, length, length) for texts, length in SIZES]
    return [(torch.rand(shape, generator=generator) >= 0.3).to(dtype) / 0.7 for shape in shapes]


def written_out(query, key, value, dropout=None):
    """The same by the formula, text by text and head by head."""
    seen, first = torch.zeros_like(query), 0
    for block, ((texts, length), mask) in enumerate(zip(SIZES, masks(), strict=True)):
        mask = mask.expand(texts, length, length)
        for text in range(texts):
            places = slice(first, first + length)
            for head in range(HEADS):
                scores = SCALING * query[places, head] @ key[places, head].T
                weights = scores.masked_fill(~mask[text], float("-inf")).softmax(-1)
                if dropout is not None:
                    weights = weights * dropout[block][text * HEADS + head]
                seen = seen.index_put(
                    (torch.arange(first, first + length), torch.tensor(head)), weights @ value[places, head]
                )
            first += length
    return seen


@pytest.mark.parametrize("dropout", [None, factors()], ids=["whole", "dropped"])
def test_values_and_gradients_are_those_of_the_formula(dropout):
    given, (gradient,) = tokens(), tokens(count=1)
    found = BlockAttention.apply(*given, SIZES, biases(), dropout, SCALING)
    expected = written_out(*given, dropout)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    gradients, expected_gradients = (torch.autograd.grad(seen, given, gradient) for seen in (found, expected))
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-14)


def test_gradients_of_several_losses_at_once_are_those_of_each():
    given, gradients = tokens(), torch.stack(tokens(count=4))
    found = BlockAttention.apply(*given, SIZES, biases(), None, SCALING)
    together = torch.autograd.grad(found, given, gradients, is_grads_batched=True, retain_graph=True)
    alone = [torch.autograd.grad(found, given, gradient, retain_graph=True) for gradient in gradients]
    torch.testing.assert_close(together, tuple(map(torch.stack, zip(*alone, strict=True))), rtol=0, atol=1e-14)


def test_a_gradient_of_its_gradient_is_refused():
    given = tokens()
    found = BlockAttention.apply(*given, SIZES, biases(), None, SCALING)
    with pytest.raises(RuntimeError, match="must be taken without create_graph=True"):  # not a part of it, silently
        torch.autograd.grad(found.square().sum(), given[:1], create_graph=True)


def test_what_is_in_bfloat16_is_computed_in_float32_and_returned_as_it_came():
    given = tokens(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = BlockAttention.apply(*given, SIZES, biases(torch.float32), None, SCALING)
    exact = BlockAttention.apply(
        *[values.detach().float() for values in given], SIZES, biases(torch.float32), None, SCALING
    )
    assert torch.equal(found, exact.bfloat16())
    assert [values.dtype for values in torch.autograd.grad(found.sum(), given)] == [torch.bfloat16] * 3


def test_what_is_added_to_scores_is_made_once_for_all_layers_of_a_pass():
    _, blocks = in_blocks(np.array([3, 5, 5, 2]), 5, torch.device("cpu"))
    like = torch.zeros((), dtype=torch.float64)
    for block in blocks:
        full, causal = block.bias(False, None, HEADS, like), block.bias(True, None, HEADS, like)
        assert full is block.bias(False, None, HEADS, like)
        assert full is not causal
        for bias, is_causal in ((full, False), (causal, True)):
            mask = block.mask(is_causal, None, torch.device("cpu"))
            mask = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask
            expected = torch.zeros(block.texts, HEADS, block.length, block.length, dtype=torch.float64)
            expected = expected.masked_fill(~(mask[:, None] if mask.dim() == 3 else mask), float("-inf"))
            assert torch.equal(bias.expand(len(expected) * HEADS, block.length, block.length), expected.flatten(0, 1))


def test_its_products_are_torchs_default_ones_and_the_others_stay_those_of_onednn(monkeypatch):
    settings, seen = torch.backends.mkldnn.matmul, []
    softmax = torch.Tensor.softmax

    def watched(*args, **kwargs):
        seen.append(settings.fp32_precision)
        return softmax(*args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "softmax", watched)
    with onednn_matmul():
        BlockAttention.apply(*tokens(torch.float32), SIZES, biases(torch.float32), None, SCALING)
        assert settings.fp32_precision == "bf16"
    assert seen == ["none"] * len(SIZES)


def test_the_default_is_left_alone_where_nothing_was_switched():
    with default_matmul():
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_dropped_weights_are_torchs_own_where_masks_are_not_drawn_otherwise():
    from hf_multitask.modeling.blocks import _drop_factors

    torch.manual_seed(3)
    (drawn,) = _drop_factors([(2, 3)], HEADS, torch.float32, 0.3)
    torch.manual_seed(3)
    assert torch.equal(drawn, F.dropout(torch.ones(2 * HEADS, 3, 3), 0.3))
