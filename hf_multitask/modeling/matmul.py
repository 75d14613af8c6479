"""By what, and how exactly, torch multiplies float32 matrices: switches of the whole process, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any

import torch

_COUNTING = Lock()
_USERS: dict[int, int] = {}
"""How many times each thread is inside [`onednn_matmul`], of those that are."""


@contextmanager
def onednn_matmul(wanted: bool = True) -> Iterator[None]:
    """Multiply float32 matrices by oneDNN, which it may do with rounding: only where [`probe`] found no rounding.

    torch takes MKL for float32 products, which does not use the AVX-512 units of AMD processors; oneDNN does. Allowing
    it to round is torch's only way to choose it.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)  # torch 2.9 has it
    if not wanted or settings is None or not _enter(settings):
        yield
        return
    try:
        yield
    finally:
        with _COUNTING:
            _USERS[get_ident()] -= 1
            if not _USERS[get_ident()]:
                del _USERS[get_ident()]
            if not _USERS:
                settings.fp32_precision = "none"


def _enter(settings: Any) -> bool:
    """Switch, as the first one inside; not where somebody chose already."""
    with _COUNTING:
        if not _USERS and settings.fp32_precision != "none":
            return False
        if not _USERS:
            settings.fp32_precision = "bf16"
        _USERS[get_ident()] = _USERS.get(get_ident(), 0) + 1
        return True


@contextmanager
def default_matmul() -> Iterator[None]:
    """Multiply float32 matrices as torch does by default, within [`onednn_matmul`] too.

    Many small ones in one call, as those of attention, take oneDNN twice as long. While another thread is inside as
    well, nothing is switched.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    with _COUNTING:
        is_alone = list(_USERS) == [get_ident()]
        if is_alone:
            settings.fp32_precision = "none"
    if not is_alone:
        yield
        return
    try:
        yield
    finally:
        with _COUNTING:
            if _USERS:  # else the last one has left meanwhile
                settings.fp32_precision = "bf16"


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
