"""Started by test_distributed.py in real processes: how many seconds each of them waits for the others."""

import os
from pathlib import Path

import torch
from torch.distributed.distributed_c10d import _get_default_group

from hf_multitask import MultiTaskTrainingArguments


def main(folder: str, seconds: str) -> None:
    """Write it, where the arguments say so many `seconds`."""
    MultiTaskTrainingArguments(output_dir=folder, use_cpu=True, ddp_timeout=int(seconds), performance="off")
    options = _get_default_group()._get_backend(torch.device("cpu")).options
    Path(folder, os.environ["RANK"]).write_text(f"{options._timeout.total_seconds():.0f}")
    torch.distributed.destroy_process_group()
