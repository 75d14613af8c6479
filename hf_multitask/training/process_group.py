"""How many processes work together, and how one of them leaves the group."""

import os
import time
from datetime import timedelta

from torch import distributed as dist

GRACE = 0.5
"""Seconds without Python's lock in which a process group's thread frees what it holds; it needs some milliseconds."""


def launched_processes() -> int:
    """How many processes a launcher has started, this one included; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def join_on_cpus(seconds: float) -> None:
    """Join launched processes that compute on CPUs by gloo, to wait so long for each other.

    Accelerate would join them without saying how long, and gloo then waits half an hour.
    """
    if launched_processes() > 1 and not dist.is_initialized() and not dist.is_mpi_available():
        dist.init_process_group("gloo", timeout=timedelta(seconds=seconds))


def let_threads_end() -> None:
    """Wait before the group is left.

    torch frees a gloo group with Python's lock held, and waits there for the group's own thread, which may want that
    lock to free the tensors of the last collective: both then wait for ever. So the thread goes first.
    """
    time.sleep(GRACE)
