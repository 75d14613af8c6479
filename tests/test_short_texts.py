"""Attention in tiles as a GPU computes it, here by Triton's interpreter; test_cuda.py has it on a GPU."""

import importlib.util
import os
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from hf_multitask.modeling import segments
from hf_multitask.modeling.visibility import visible

LENGTHS = (7, 3, 40, 33, 1, 64, 17)
STARTS = torch.tensor([0, *LENGTHS]).cumsum(0).int()


def attend_each(query, key, value, lengths, scaling, is_causal, window):
    """What attention is by its definition, text by text."""
    seen = []
    for texts in zip(*(t.transpose(0, 1).split(lengths, 1) for t in (query, key, value)), strict=True):
        scores = texts[0] @ texts[1].mT * scaling
        mask = visible(scores.shape[-1], is_causal, window, scores.device)
        scores = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
        seen.append(scores.softmax(-1) @ texts[2])
    return torch.cat(seen, 1).transpose(0, 1)


@pytest.fixture
def short_texts():
    """The module, as Triton's interpreter runs it: see conftest.py."""
    pytest.importorskip("triton")
    if "TRITON_INTERPRET" not in os.environ:
        pytest.skip("the interpreter is for machines without a GPU")
    from hf_multitask.modeling import short_texts

    return short_texts


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from hf_multitask.modeling.short_kernels import TILES, attend_tiles, attend_tiles_backward

numbers = {"starts": "*i32", "seed": "*i64", "scaling": "fp32", "dropout": "fp32", "window": "i32", "stride": "i32"}
tile, warps = TILES[-1]
constants = {"H": 64, "IS_CAUSAL": True, "HAS_WINDOW": True, "DROPS": True, "ABOVE": 0, "WIDTH": 64, "TILE": tile}
for kernel in (attend_tiles, attend_tiles_backward):
    types = {name: "constexpr" if name in constants else numbers.get(name, "*bf16") for name in kernel.arg_names}
    for capability in (80, 90):
        target = GPUTarget("cuda", capability, 32)
        made = triton.compile(ASTSource(kernel, types, constants), target=target, options={"num_warps": warps})
        print(made.metadata.shared)
"""


@pytest.mark.slow
def test_kernels_are_compiled_for_gpus_and_need_little_of_them(short_texts, tmp_path):
    """As Triton does it there, up to what the GPU loads, in the largest tile; of shared memory each has 99 KiB."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shared = [int(line) for line in done.stdout.split()]
    assert len(shared) == 4
    assert max(shared) <= 48 * 1024


def tokens(size, heads=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    made = (torch.randn(sum(LENGTHS), heads, size, generator=generator, dtype=dtype) for _ in range(4))
    *given, gradient = made
    return [t.requires_grad_() for t in given], gradient


@pytest.mark.parametrize(("is_causal", "window"), [(False, None), (True, None), (False, 5), (True, 9)])
@pytest.mark.parametrize("size", [8, 24, 32])
def test_outputs_and_gradients_are_those_of_the_definition(short_texts, is_causal, window, size):
    how = {"scaling": 0.3, "is_causal": is_causal, "window": window}
    given, gradient = tokens(size)
    found = short_texts.attend_short(*given, STARTS, 64, dropout=0.0, **how)
    expected = attend_each(*given, LENGTHS, **how)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)
    gradients = torch.autograd.grad(found, given, gradient)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, gradient), strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()


def test_gradients_know_which_weights_were_dropped(short_texts):
    """By differences along a direction, with the same weights dropped."""
    given, gradient = tokens(16)
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(t.shape, generator=generator) for t in given]

    def total(step):
        torch.manual_seed(1)
        moved = [(t + step * d) for t, d in zip(given, direction, strict=True)]
        how = {"dropout": 0.3, "scaling": 0.3, "is_causal": False, "window": None}
        return (short_texts.attend_short(*moved, STARTS, 64, **how).double() * gradient).sum()

    slope = sum((g * d).sum() for g, d in zip(torch.autograd.grad(total(0.0), given), direction, strict=True))
    step = 1e-2
    difference = (total(step) - total(-step)).detach() / (2 * step)
    assert float(difference) == pytest.approx(float(slope), rel=2e-3)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_weights_are_dropped_at_the_rate_asked_for_and_the_others_scaled(short_texts, rate):
    """The weights of tokens that look alike are 1/64 or 0, scaled up."""
    alike, values = torch.zeros(320, 2, 64), torch.eye(64).repeat(5, 1)[:, None].repeat(1, 2, 1)
    starts = torch.arange(0, 321, 64, dtype=torch.int32)
    torch.manual_seed(0)
    how = {"dropout": rate, "scaling": 0.1, "is_causal": False, "window": None}
    weights = 64 * short_texts.attend_short(alike, alike, values, starts, 64, **how)
    dropped = (weights == 0).double().mean()
    assert float(dropped) == pytest.approx(rate, abs=4 * (rate * (1 - rate) / weights.numel()) ** 0.5)
    torch.testing.assert_close(weights[weights > 0], torch.full_like(weights[weights > 0], 1 / (1 - rate)))
    assert not torch.equal(weights[:64], weights[64:128])  # texts have masks of their own
    assert not torch.equal(weights[:, 0], weights[:, 1])  # and so have heads


def test_nothing_random_is_drawn_where_nothing_is_dropped(short_texts):
    given, _ = tokens(8)
    before = torch.get_rng_state()
    short_texts.attend_short(*given, STARTS, 64, dropout=0.0, scaling=1.0, is_causal=False, window=None)
    assert torch.equal(torch.get_rng_state(), before)


def test_texts_that_are_not_there_change_nothing(short_texts):
    given, gradient = tokens(8)
    how = {"dropout": 0.0, "scaling": 1.0, "is_causal": False, "window": None}
    longer = torch.cat([STARTS, STARTS[-1:].repeat(5)])
    found = [short_texts.attend_short(*given, starts, 64, **how) for starts in (STARTS, longer)]
    assert torch.equal(*found)
    gradients = [torch.autograd.grad(output, given, gradient) for output in found]
    assert all(map(torch.equal, *gradients))


def test_half_precision_is_as_exact_as_it_can_be(short_texts, monkeypatch):
    """The probe, in the other type of sixteen bits: the interpreter has no products in bfloat16."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.half)
    assert 0 < short_texts.error_of_attention(torch.device("cpu"), 32) < 1e-3


def test_a_second_copy_of_the_code_has_operators_of_its_own(short_texts):
    """A checkpoint brings the code along, and both may be in use."""
    spec = importlib.util.spec_from_file_location("hf_multitask.modeling.a-copy", short_texts.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    given, _ = tokens(8)
    how = {"dropout": 0.0, "scaling": 1.0, "is_causal": False, "window": None}
    both = [module.attend_short(*given, STARTS, 64, **how) for module in (short_texts, copy)]
    assert torch.equal(*both)
    assert copy._operator._qualname != short_texts._operator._qualname


def test_kernels_start_on_the_device_of_the_tensors(short_texts, monkeypatch):
    """Triton would take the current one."""
    guarded = []
    device_of = torch.cuda.device_of
    monkeypatch.setattr(torch.cuda, "device_of", lambda tensor: guarded.append(tensor.device) or device_of(tensor))
    given, gradient = tokens(8)
    how = {"dropout": 0.0, "scaling": 1.0, "is_causal": False, "window": None}
    torch.autograd.grad(short_texts.attend_short(*given, STARTS, 64, **how), given, gradient)
    assert guarded == [torch.device("cpu")] * 2


class RanError(Exception):
    """By which of both attention is computed."""


@pytest.mark.parametrize(
    ("longest", "works", "dtype", "size", "way"),
    [
        (64, True, torch.bfloat16, 8, "short"),
        (64, True, torch.float16, 64, "short"),
        (65, True, torch.bfloat16, 8, "flash"),
        (64, False, torch.bfloat16, 8, "flash"),
        (64, True, torch.bfloat16, 72, "flash"),
        (64, True, torch.float32, 8, "padded"),
    ],
)
def test_which_attention_texts_have(monkeypatch, longest, works, dtype, size, way):
    import numpy as np

    def by(name):
        def run(*args, **kwargs):
            raise RanError(name)

        return run

    fake = ModuleType("hf_multitask.modeling.short_texts")
    fake.attend_short, fake.error_of_attention = by("short"), lambda device, size: 0.0 if works else 1.0
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(segments, "_flash_size", lambda device: 256)
    monkeypatch.setattr(segments, "_flash_attention", by("flash"))
    monkeypatch.setattr(segments, "_padded_attention", by("padded"))
    segments._attends_short.cache_clear()
    places, texts = segments.in_segments(np.array([3, longest, 1]), 70, torch.device("cpu"))
    given = torch.zeros(3, 2, len(places), size, dtype=dtype)
    how = {"dropout": 0.0, "scaling": 1.0, "is_causal": False, "window": None}
    with pytest.raises(RanError, match=way):
        segments.attend_segments(texts, torch.from_numpy(places), *given, **how)
    segments._attends_short.cache_clear()


@pytest.mark.parametrize(("error", "level"), [(0.5, "WARNING"), (ImportError("no module named triton"), "INFO")])
def test_a_kernel_that_does_not_run_or_errs_is_left_out_and_told_once(short_texts, monkeypatch, caplog, error, level):
    def fail(device, size):
        if isinstance(error, Exception):
            raise error
        return error

    caplog.set_level("INFO", "hf_multitask")
    monkeypatch.setattr(short_texts, "error_of_attention", fail)
    segments._attends_short.cache_clear()
    assert not segments.attends_short(torch.device("cpu"), 32)
    assert not segments.attends_short(torch.device("cpu"), 32)
    segments._attends_short.cache_clear()
    (record,) = caplog.records
    assert record.levelname == level
    assert "by FlashAttention" in record.getMessage()
