"""By what, and how exactly, torch multiplies float32 matrices: switches of the whole process, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def onednn_matmul(wanted: bool = True) -> Iterator[None]:
    """Multiply float32 matrices by oneDNN, which it may do with rounding: only where [`probe`] found no rounding.

    torch takes MKL for float32 products, which does not use the AVX-512 units of AMD processors; oneDNN does. Allowing
    it to round is torch's only way to choose it.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)  # torch 2.9 has it
    if not wanted or settings is None or settings.fp32_precision != "none":  # or somebody chose already
        yield
        return
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = "none"


@contextmanager
def default_matmul() -> Iterator[None]:
    """Multiply float32 matrices as torch does by default, within [`onednn_matmul`] too.

    Many small ones in one call, as those of attention, take oneDNN twice as long.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(settings, "fp32_precision", "none")
    if before == "none":
        yield
        return
    settings.fp32_precision = "none"
    try:
        yield
    finally:
        settings.fp32_precision = before


@contextmanager
def tf32_matmul(wanted: bool = True) -> Iterator[None]:
    """Let CUDA round float32 matrices to TF32 in products."""
    settings: Any = torch.backends.cuda.matmul
    before = getattr(settings, "fp32_precision", None)  # torch 2.9 has it
    if not wanted or before in (None, "tf32"):  # or somebody chose already
        yield
        return
    settings.fp32_precision = "tf32"
    try:
        yield
    finally:
        settings.fp32_precision = before
