"""Dropout on a CPU whose masks take less time than torch's.

torch draws the masks one number after the other, on one thread, from a generator of 64 bits a number; only on Intel's
processors, in builds with MKL, it has another way (pytorch/pytorch#138199). In training with short sentences that is
the largest cost beside the matrix products.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .timing import timed

LEVELS = 2**16
"""Probabilities are multiples of its inverse: 16 bits are drawn for a value."""

FEWEST = 2**15
"""Values of a tensor below which torch is as fast: there is a cost to each mask, too."""

_wanted = ContextVar("_wanted", default=False)


def dropout(values: Tensor, p: float) -> Tensor:
    r"""The values with each dropped by chance and the others scaled up, so that the expectation stays what it was.

    $$ y_i = x_i \frac{m_i}{1 - q}, \qquad m_i = [u_i \ge q], \qquad q = 2^{-16} \operatorname{round}(2^{16} p), $$

    with $u_i$ uniform on the multiples of $2^{-16}$ in [0, 1).

    Args:
        values: On the CPU, of any shape and of a floating type.
        p: Probability of a value to be dropped, in [0, 1].
    """
    if not 0 < round(p * LEVELS) < LEVELS:
        return F.dropout(values, p)
    return values * next(drop_factors([values.shape], p, values.dtype))


def drop_factors(shapes: Sequence[Sequence[int]], p: float, dtype: torch.dtype) -> Iterator[Tensor]:
    """What tensors of these shapes are to be multiplied by, 0 or the scale, drawn at once.

    One number is drawn from torch's generator, so that what restores its state, as a checkpoint or gradient
    checkpointing does, restores the masks.

    Args:
        shapes: Of the tensors.
        p: As of [`dropout`], neither 0 nor 1.
        dtype: Of the tensors.
    """
    threshold, sizes = round(p * LEVELS), [prod(shape) for shape in shapes]
    seed = int(torch.randint(2**62, (), device="cpu"))
    words = np.random.SFC64(seed).random_raw(-(-sum(sizes) // 4))
    drawn = torch.from_numpy(words.view(np.int16)[: sum(sizes)])
    # Straight into the floating type, which is several times as fast as by way of booleans.
    kept = torch.ge(drawn, threshold - LEVELS // 2, out=torch.empty(sum(sizes), dtype=dtype, device="cpu"))
    factors = kept.mul_(LEVELS / (LEVELS - threshold))
    return (part.view(*shape) for part, shape in zip(factors.split(sizes), shapes, strict=True))


@lru_cache
def dropout_gain(threads: int) -> float:
    """How many times faster [`dropout`] is than torch's on so many threads, on values of a short batch.

    Measured once, in some hundredths of a second.
    """
    del threads  # the result is kept by it
    values = torch.ones(8 * FEWEST, dtype=torch.float32, device="cpu")
    state = torch.get_rng_state()
    try:
        _, plain_seconds = timed(lambda: F.dropout(values, 0.1))
        _, seconds = timed(lambda: dropout(values, 0.1))
    finally:
        torch.set_rng_state(state)
    return plain_seconds / seconds


class QuickDropout(nn.Dropout):
    """As `torch.nn.Dropout`, and within [`quick_dropout`] as [`dropout`] where there are enough values."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """The values, some of them dropped where the module is in training."""
        is_quick = self.training and is_quick_on(input.device) and input.numel() >= FEWEST
        return dropout(input, self.p) if is_quick else nn.Dropout.forward(self, input)


def is_quick_on(device: torch.device) -> bool:
    """Whether masks are drawn as [`dropout`] does, here and now."""
    return device.type == "cpu" and _wanted.get() and not torch.compiler.is_compiling()


@contextmanager
def quick_dropout(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Let a model on the CPU draw the masks of its dropout as [`dropout`] does, in packed attention too.

    Args:
        model: Has layers of exactly `torch.nn.Dropout`; others are left as they are.
        wanted: Whether to do it at all.
    """
    if not wanted:
        yield
        return
    layers = [module for module in model.modules() if type(module) is nn.Dropout and not module.inplace]
    for layer in layers:
        layer.__class__ = QuickDropout
    before = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(before)
        for layer in layers:
            layer.__class__ = nn.Dropout
