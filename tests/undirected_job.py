"""Started by test_distributed.py in processes that are not told their device: how many work together, or why not."""

import os
from pathlib import Path
from unittest import mock

import torch

from hf_multitask import MultiTaskTrainingArguments


def main(folder: str, accelerator: str) -> None:
    """Write it, on a machine that has an `accelerator`, or has none where that is empty."""
    device = torch.device(accelerator) if accelerator else None
    there = mock.patch("torch.accelerator.is_available", return_value=device is not None)
    with there, mock.patch("torch.accelerator.current_accelerator", return_value=device):
        try:
            told = str(MultiTaskTrainingArguments(output_dir=folder, performance="off").world_size)
        except ValueError as refusal:
            told = str(refusal)
    Path(folder, os.environ["RANK"]).write_text(told)
    torch.distributed.destroy_process_group()
