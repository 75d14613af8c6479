"""What a checkpoint holds of balancing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = "balancing.safetensors"
"""The method's numbers, and in the header its name and the tasks; there unless the losses are summed."""


def save_balancing(folder: str, method: str, tasks: Sequence[str], state: Mapping[str, Tensor]) -> None:
    """Write the state of a method into the checkpoint `folder`."""
    tensors = dict(state) or {"none": torch.zeros(1)}  # an empty file is no safetensors file
    save_file(tensors, Path(folder) / FILE, metadata={"record": json.dumps({"method": method, "tasks": list(tasks)})})


def load_balancing(folder: str, method: str, tasks: Sequence[str]) -> dict[str, Tensor]:
    """The state that `save_balancing` wrote; empty for `sum`.

    Raises:
        ValueError: It is that of another method, or of tasks in another order or with another choice of weight 0.
    """
    path, state = Path(folder) / FILE, {}
    saved, expected = {"method": "sum", "tasks": list(tasks)}, {"method": method, "tasks": list(tasks)}
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            saved = json.loads(file.metadata()["record"])
        state = load_file(path)
    if saved != expected:
        key = "method" if saved["method"] != method else "tasks"
        raise ValueError(
            f"A resumed run must balance as its checkpoint, {key} {saved[key]!r}, found {expected[key]!r}. "
            "Restore balancing (and the tasks with a loss_weight), or start a new run from its weights."
        )
    return state
