"""How this machine computes fastest without computing something else: by what it has, with what was measured told."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import torch

from .dropout import dropout_gain
from .kept_memory import kept_memory, memory_gain
from .matmul import onednn_matmul, tf32_matmul
from .processor import Processor, processor
from .timing import GAIN, timed

logger = logging.getLogger(__name__)

PERFORMANCE = ("exact", "auto", "off")
"""What may be chosen: what is as accurate as float32; also what rounds, where the device has it; nothing."""

_PROBING = Lock()

TOLERANCE = 1e-5
"""Largest relative difference, in the Frobenius norm, between two ways to multiply float32 matrices."""


class Measured(NamedTuple):
    """What a probe found, on matrices of the size of a short batch.

    Args:
        threads: On how many threads of the CPU.
        matmul_gain: How many times faster oneDNN multiplies float32 matrices than what torch uses by default.
        matmul_error: The relative difference of the two results.
        bf16_gain: How many times faster bfloat16 matrices are multiplied than float32 ones, in the faster way.
    """

    threads: int
    matmul_gain: float
    matmul_error: float
    bf16_gain: float


class Choices(NamedTuple):
    """What was chosen, and why.

    Args:
        onednn: Whether oneDNN multiplies float32 matrices.
        bf16: Whether to compute in bfloat16, where it is not said otherwise.
        tf32: Whether CUDA may round float32 matrices to TF32.
        dropout: Whether masks are drawn by [`dropout`].
        memory: Whether freed memory is kept for what comes next, see [`kept_memory`].
        reasons: One line each, for the log.
    """

    onednn: bool = False
    bf16: bool = False
    tf32: bool = False
    dropout: bool = False
    memory: bool = False
    reasons: tuple[str, ...] = ()


@lru_cache
def probe(threads: int) -> Measured:
    """What multiplying matrices costs on this CPU, in a fraction of a second; measured once per number of threads.

    One thread at a time: the switch is the process's, and would let the plain product of another thread round too. An
    autocast, a device or a type that the caller has set do not count.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    of_matrices: Any = {"generator": generator, "device": "cpu", "dtype": torch.float32}
    left, right = torch.randn(256, 384, **of_matrices), torch.randn(384, 1536, **of_matrices)
    with _PROBING, torch.inference_mode(), torch.autocast("cpu", enabled=False):
        plain, plain_seconds = timed(lambda: left @ right)
        with onednn_matmul():
            other, other_seconds = timed(lambda: left @ right)
        halves = left.bfloat16(), right.bfloat16()
        _, bf16_seconds = timed(lambda: halves[0] @ halves[1])
    error = float((other - plain).norm() / plain.norm())
    fastest = min(plain_seconds, other_seconds) if error < TOLERANCE else plain_seconds
    return Measured(threads, plain_seconds / other_seconds, error, fastest / bf16_seconds)


def choose(performance: str, device_type: str, training: bool = False) -> Choices:
    """What to use on a device of this type; said once in the log, with what was measured on as many threads as now.

    What changes numbers, if only the order of a sum, depends on the processor and never on what was measured, so that
    a run can be repeated: see [`processor`].

    Args:
        performance: `exact`, `auto` or `off`.
        device_type: torch's, such as "cpu" or "cuda".
        training: Whether what only training needs is to be chosen too.

    Raises:
        ValueError: `performance` is none of these.
    """
    check_performance(performance)
    choices = _choose(performance, device_type, torch.get_num_threads())
    if training and performance != "off" and device_type == "cpu":
        return _with_dropout(performance, choices, torch.get_num_threads())
    return choices


@lru_cache
def _choose(performance: str, device_type: str, threads: int) -> Choices:
    choices = Choices()
    if performance != "off" and device_type == "cpu":
        choices = _choose_cpu(performance, processor(), probe(threads), memory_gain())
    elif performance == "auto" and device_type == "cuda":
        choices = _choose_cuda()
    for reason in choices.reasons:
        logger.info("performance: %s, %s", performance, reason)
    return choices


def check_performance(performance: str) -> None:
    """Raise unless it is one of `PERFORMANCE`.

    Raises:
        ValueError: It is not.
    """
    if performance not in PERFORMANCE:
        raise ValueError(f"performance must be one of {list(PERFORMANCE)}, found {performance!r}. Choose one of these.")


def _choose_cpu(performance: str, found: Processor, measured: Measured, memory_gain: float) -> Choices:
    onednn = found.idle_units and measured.matmul_error < TOLERANCE
    reasons = [
        f"float32 products by {'oneDNN' if onednn else 'the default'}: on {measured.threads} threads oneDNN is "
        f"{measured.matmul_gain:.2f}x as fast, relative difference {measured.matmul_error:.0e}"
    ]
    memory = memory_gain >= GAIN
    kept = "kept" if memory else "given back"
    reasons.append(f"freed memory is {kept}: it is filled {memory_gain:.1f}x as fast as new memory")
    bf16 = performance == "auto" and found.bf16
    if performance == "auto":
        why = "bfloat16, which the processor has" if bf16 else "float32, as torch tells of no bfloat16 here"
        reasons.append(f"{why}: products in bfloat16 are {measured.bf16_gain:.2f}x as fast as in float32")
    return Choices(onednn, bf16, memory=memory, reasons=tuple(reasons))


@lru_cache
def _with_dropout(performance: str, choices: Choices, threads: int) -> Choices:
    is_quick = processor().serial_dropout
    how = "16 bits a value" if is_quick else "torch"
    reason = f"masks of dropout by {how}: 16 bits a value are {dropout_gain(threads):.2f}x as fast as torch's"
    logger.info("performance: %s, %s", performance, reason)
    return choices._replace(dropout=is_quick, reasons=(*choices.reasons, reason))


def _choose_cuda() -> Choices:
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Choices(
        bf16=bf16, tf32=True, reasons=(f"{'bfloat16' if bf16 else 'float32'}, and TF32 for float32 products",)
    )


@contextmanager
def computing(choices: Choices, device_type: str, autocast: bool = False) -> Iterator[None]:
    """Compute as chosen, and put torch's global switches back.

    Args:
        choices: What was chosen.
        device_type: Of the device that computes.
        autocast: Whether to bring about the precision here, whatever the caller's autocast is. A Trainer does it by
            itself, for each forward pass, and there must be no autocast around its steps, not even one that is off:
            until the outermost one ends, torch takes the casts that it made of the weights, and so those of the first
            step in all others.
    """
    rounded = torch.autocast(device_type, torch.bfloat16, enabled=choices.bf16) if autocast else nullcontext()
    with onednn_matmul(choices.onednn), tf32_matmul(choices.tf32), kept_memory(choices.memory), rounded:
        yield
