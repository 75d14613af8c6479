"""What a run computes on."""

import torch

from ..publishing.run_record import Machine
from ..training.trainer import MultiTaskTrainer

MIXED = {"bf16": "bfloat16", "fp16": "float16"}
"""Accelerate's words for mixed precision -> torch's for the smaller type of number."""


def describe_machine(trainer: MultiTaskTrainer) -> Machine:
    """The processes, the device of this one and the precision."""
    mixed = trainer.accelerator.mixed_precision
    weights = str(next(trainer.model.parameters()).dtype).removeprefix("torch.")
    precision = weights if mixed == "no" else f"{MIXED.get(mixed, mixed)} mixed with {weights}"
    return Machine(trainer.args.world_size, device_name(trainer.args.device), precision)


def device_name(device: torch.device) -> str:
    """What torch calls the device: the name of a GPU; of a CPU, which has none, its threads."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU ({threads} {'thread' if threads == 1 else 'threads'})"
    named = getattr(torch.get_device_module(device), "get_device_name", None)
    return device.type.upper() if named is None else str(named(device))
