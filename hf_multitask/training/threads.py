"""How many CPU cores a process computes on."""

import logging
import os
from typing import Protocol

import torch

logger = logging.getLogger(__name__)


class HasDevice(Protocol):
    """What knows where a process computes: training arguments, or the state of Accelerate."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""


def use_all_cores(process: HasDevice) -> None:
    """Let a process that computes on the CPU use its share of the cores, where its launcher left it with one.

    `accelerate launch` sets OMP_NUM_THREADS=1 unless told otherwise, also for a single process on a machine with many
    cores. To use one core on purpose, bind the process to it (`taskset`).
    """
    if process.device.type != "cpu" or torch.get_num_threads() > 1:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if share > 1:
        torch.set_num_threads(share)
        logger.info("Computing on %d CPU cores", share)
