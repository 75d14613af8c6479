"""Real processes that work as one, on CPU, as `accelerate launch` starts them.

They are forked from a process that has imported everything once, which takes far longer than what they then do.
"""

import importlib
import multiprocessing
import os
import socket
import time

import torch

LIMIT = 300
"""Seconds after which they are stopped."""

PRELOADED = [
    "hf_multitask",
    "distributed_job",
    "fsdp_job",
    "rows_job",
    "frozen_job",
    "pairs_job",
    "precision_job",
    "undirected_job",
    "patience_job",
]


def launch(processes, job, *arguments):
    """Run `main` of the module `job` in so many processes; one is this."""
    words = tuple(map(str, arguments))
    if processes == 1:
        importlib.import_module(job).main(*words)
        return
    multiprocessing.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = torch.multiprocessing.start_processes
    running = start(_work, (processes, port, job, words), processes, join=False, start_method="forkserver")
    deadline = time.monotonic() + LIMIT
    try:
        while not running.join(timeout=5):
            assert time.monotonic() < deadline, f"{job} took longer than {LIMIT} seconds"
    finally:
        for process in running.processes:
            process.kill()


def _work(rank, processes, port, job, words):
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    chosen = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "no"}
    os.environ.update({name: str(value) for name, value in (place | meeting | chosen).items()})
    torch.set_num_threads(1)
    importlib.import_module(job).main(*words)
