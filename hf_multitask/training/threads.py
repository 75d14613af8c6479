"""How many CPU cores a process computes on."""

import logging
import os

import torch
from transformers import TrainingArguments

logger = logging.getLogger(__name__)


def use_all_cores(args: TrainingArguments) -> None:
    """Let a process that trains on the CPU use its share of the cores, where its launcher left it with one.

    `accelerate launch` sets OMP_NUM_THREADS=1 unless told otherwise, also for a single process on a machine with many
    cores. To use one core on purpose, bind the process to it (`taskset`).
    """
    if args.device.type != "cpu" or torch.get_num_threads() > 1:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if share > 1:
        torch.set_num_threads(share)
        logger.info("Computing on %d CPU cores", share)
