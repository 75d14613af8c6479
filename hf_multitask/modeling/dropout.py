"""Dropout on a CPU whose masks take less time than torch's.

torch draws the masks one number after the other, on one thread, from a generator of 64 bits a number; only on Intel's
processors, in builds with MKL, it has another way (pytorch/pytorch#138199). In training with short sentences that is
the largest cost beside the matrix products.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .timing import GAIN, timed

logger = logging.getLogger(__name__)

LEVELS = 2**16
"""Probabilities are multiples of its inverse: 16 bits are drawn for a value."""


def dropout(values: Tensor, p: float) -> Tensor:
    r"""The values with each dropped by chance and the others scaled up, so that the expectation stays what it was.

    $$ y_i = x_i \frac{m_i}{1 - q}, \qquad m_i = [u_i \ge q], \qquad q = 2^{-16} \operatorname{round}(2^{16} p), $$

    with $u_i$ uniform on the multiples of $2^{-16}$ in [0, 1). One number is drawn from torch's generator, so that what
    restores its state, as a checkpoint or gradient checkpointing does, restores the masks.

    Args:
        values: On the CPU, of any shape and of a floating type.
        p: Probability of a value to be dropped, in [0, 1]; rounded to `LEVELS`.
    """
    threshold = round(p * LEVELS)
    if threshold in (0, LEVELS):
        return F.dropout(values, p)
    words = np.random.SFC64(int(torch.randint(2**62, ()))).random_raw(-(-values.numel() // 4))
    drawn = torch.from_numpy(words.view(np.int16)[: values.numel()]).view(values.shape)
    kept = drawn >= threshold - LEVELS // 2
    return values * (kept * (LEVELS / (LEVELS - threshold))).to(values.dtype)


def quickest_dropout(values: Tensor, p: float) -> Tensor:
    """As torch's `dropout` in training, in the way that is faster here."""
    can_be = values.device.type == "cpu" and not torch.compiler.is_compiling()
    return dropout(values, p) if can_be and is_quicker(torch.get_num_threads()) else F.dropout(values, p)


@lru_cache
def is_quicker(threads: int) -> bool:
    """Whether [`dropout`] is faster than torch's on so many threads; measured once, in a hundredth of a second."""
    values = torch.ones(768, 384)
    state = torch.get_rng_state()
    try:
        _, plain_seconds = timed(lambda: F.dropout(values, 0.1))
        _, seconds = timed(lambda: dropout(values, 0.1))
    finally:
        torch.set_rng_state(state)
    gain = plain_seconds / seconds
    logger.info("performance: masks of dropout are drawn %.2fx as fast as torch's on %d threads", gain, threads)
    return gain >= GAIN


class QuickDropout(nn.Dropout):
    """As `torch.nn.Dropout`, by [`quickest_dropout`]."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """The values, some of them dropped where the module is in training."""
        return quickest_dropout(input, self.p) if self.training else input


@contextmanager
def quick_dropout(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Let the dropout layers of a model draw their masks in the way that is faster.

    Args:
        model: Has layers of exactly `torch.nn.Dropout`; others are left as they are.
        wanted: Whether to do it at all.
    """
    layers = [module for module in model.modules() if type(module) is nn.Dropout and not module.inplace and wanted]
    for layer in layers:
        layer.__class__ = QuickDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Dropout
