"""How many CPU cores a process computes on."""

import logging
import os

import torch

logger = logging.getLogger(__name__)


LAUNCHED = "ACCELERATE_MIXED_PRECISION"
"""An environment variable that `accelerate launch` always sets."""


def use_all_cores(device_type: str) -> None:
    """Let a launched process that computes on the CPU use its share of the cores, where it was left with one.

    `accelerate launch` sets OMP_NUM_THREADS=1 unless told otherwise, also for a single process on a machine with many
    cores. To use one core on purpose, bind the process to it (`taskset`).

    Args:
        device_type: Where it computes: torch's type, such as "cpu" or "cuda".
    """
    if device_type != "cpu" or LAUNCHED not in os.environ or torch.get_num_threads() > 1:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if share > 1:
        torch.set_num_threads(share)
        logger.info("Computing on %d CPU cores", share)
