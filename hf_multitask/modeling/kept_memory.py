"""Memory of the CPU that one step leaves to the next, where glibc would give it back to the system in between.

Large tensors come from the system and go back to it when they are freed, and the system has to fill each page of a new
one with zeros: for the gradient of a word embedding, and for what a step keeps for its gradients, that takes longer
than to compute with it. PyTorch's tuning guide advises another allocator for the same reason; this one needs none.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

import torch

from .timing import timed

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""Of `malloc.h`: size from which a block is the system's own; free bytes at the end of the heap that go back."""

MIB = 2**20

KEPT = (1024 * MIB, 1024 * MIB)
"""What the two are within [`kept_memory`]."""

MOST = 32 * MIB
"""What older releases of glibc take at most for the first, `DEFAULT_MMAP_THRESHOLD_MAX`."""

ADAPTED = (MOST, 64 * MIB)
"""What they are afterwards: what glibc comes to by itself where blocks of 32 MiB are freed, see mallopt(3)."""

PROBED = 48 * MIB
"""Bytes of a block that glibc always gives back."""

SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""Variables of the environment by which somebody has chosen already."""

_COUNTING = Lock()
_USERS: list[None] = []
"""One for each time that somebody is inside [`kept_memory`]."""


@contextmanager
def kept_memory(wanted: bool = True) -> Iterator[None]:
    """Let the process keep up to a GiB of what it frees, until the last thread leaves this.

    Args:
        wanted: Whether to do it at all.
    """
    malloc_option = _malloc_option() if wanted else None
    if malloc_option is None:
        yield
        return
    with _COUNTING:
        if not _USERS:
            _set(malloc_option, KEPT)
        _USERS.append(None)
    try:
        yield
    finally:
        with _COUNTING:
            _USERS.pop()
            if not _USERS:
                _set(malloc_option, ADAPTED)


def give_memory_back() -> None:
    """Return to the system what was kept, unless somebody is still inside [`kept_memory`]."""
    malloc_option = _malloc_option()
    with _COUNTING:
        if malloc_option is not None and not _USERS:
            ctypes.CDLL(None).malloc_trim(0)


@lru_cache
def memory_gain() -> float:
    """How many times faster memory is filled that the process has than new memory; 1 where nothing can be chosen.

    Measured once, in some hundredths of a second.
    """
    if _malloc_option() is None:
        return 1.0
    like: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the caller has set
    block = torch.zeros(PROBED // 4, **like)
    _, new_seconds = timed(lambda: torch.zeros(PROBED // 4, **like))
    _, seconds = timed(block.zero_)
    return new_seconds / seconds


@lru_cache
def _malloc_option() -> Any:
    """The `mallopt` of glibc; `None` where there is none, or it was set from outside."""
    if any(os.environ.get(name) for name in SETTINGS):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # others have a `mallopt` that does less
        return library.mallopt
    except (OSError, AttributeError, TypeError):  # TypeError: Windows, which has no `None`
        return None


def _set(malloc_option: Any, sizes: tuple[int, int]) -> None:
    for option, size in zip((M_MMAP_THRESHOLD, M_TRIM_THRESHOLD), sizes, strict=True):
        if not malloc_option(option, size):  # it stays where it is, and does not grow by itself any more
            malloc_option(option, MOST)
