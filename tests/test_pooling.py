"""Pooling: padding has no influence and gets no gradient, in any dtype, on any side."""

import pytest
import torch

from hf_multitask.modeling.pooling import POOLINGS, pool

ALL = sorted(POOLINGS)


def batch(dtype=torch.float32):
    hidden_BLD = torch.randn(3, 5, 4).to(dtype)
    mask_BL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    return hidden_BLD, mask_BL


def test_mean_is_the_mean_of_the_real_tokens():
    hidden_BLD, mask_BL = batch()
    pooled_BD = pool(hidden_BLD, mask_BL, "mean")
    torch.testing.assert_close(pooled_BD[0], hidden_BLD[0].mean(dim=0))
    torch.testing.assert_close(pooled_BD[1], hidden_BLD[1, :3].mean(dim=0))


def test_cls_is_the_first_last_is_the_last_and_max_the_largest_real_token():
    hidden_BLD, mask_BL = batch()
    assert torch.equal(pool(hidden_BLD, mask_BL, "cls")[1], hidden_BLD[1, 0])
    assert torch.equal(pool(hidden_BLD, mask_BL, "last")[1], hidden_BLD[1, 2])
    assert torch.equal(pool(hidden_BLD, mask_BL, "max")[1], hidden_BLD[1, :3].amax(dim=0))


@pytest.mark.parametrize("pooling", ALL)
def test_padding_values_change_nothing_even_where_they_are_nan(pooling):
    hidden_BLD, mask_BL = batch()
    poisoned_BLD = hidden_BLD.masked_fill(mask_BL[..., None] == 0, float("nan"))
    assert torch.equal(pool(hidden_BLD, mask_BL, pooling), pool(poisoned_BLD, mask_BL, pooling))


@pytest.mark.parametrize("pooling", ALL)
def test_padding_gets_exactly_zero_gradient(pooling):
    hidden_BLD, mask_BL = batch()
    hidden_BLD.requires_grad_()
    pool(hidden_BLD, mask_BL, pooling).square().sum().backward()
    assert torch.equal(hidden_BLD.grad[mask_BL == 0], torch.zeros(7, 4))
    assert hidden_BLD.grad[mask_BL == 1].abs().sum() > 0


@pytest.mark.parametrize("pooling", ALL)
def test_left_and_right_padding_give_the_same_embedding(pooling):
    real_LD = torch.randn(3, 4)
    padding_LD = torch.randn(2, 4)
    right = pool(torch.cat([real_LD, padding_LD])[None], torch.tensor([[1, 1, 1, 0, 0]]), pooling)
    left = pool(torch.cat([padding_LD, real_LD])[None], torch.tensor([[0, 0, 1, 1, 1]]), pooling)
    assert torch.equal(left, right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", ALL)
def test_a_text_without_tokens_is_all_zeros_in_every_dtype(pooling, dtype):
    hidden_BLD, mask_BL = batch(dtype)
    pooled_BD = pool(hidden_BLD, mask_BL, pooling)
    assert pooled_BD.dtype == dtype
    assert torch.equal(pooled_BD[2], torch.zeros(4, dtype=dtype))
    assert pooled_BD.isfinite().all()


def test_the_mean_of_512_large_float16_values_does_not_overflow():
    hidden_BLD = torch.full((1, 512, 2), 200.0, dtype=torch.float16)
    assert torch.equal(pool(hidden_BLD, torch.ones(1, 512), "mean"), torch.full((1, 2), 200.0, dtype=torch.float16))


def test_the_mean_counts_259_bfloat16_tokens_as_259():
    hidden_BLD = torch.ones(1, 300, 1, dtype=torch.bfloat16)
    mask_BL = (torch.arange(300) < 259)[None].bfloat16()
    assert pool(hidden_BLD, mask_BL, "mean").item() == 1.0
