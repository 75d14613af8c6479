"""Numbers of a task's description, where its logits are."""

from typing import Any

import torch
from torch import Tensor


def constant(values: Any, like: Tensor) -> Tensor:
    """The numbers, nested lists of them too, in the type and on the device of `like`.

    The host does not wait for a GPU, as it does in `Tensor.new_tensor`.
    """
    if like.device.type != "cuda":
        return like.new_tensor(values)
    return torch.tensor(values, dtype=like.dtype, pin_memory=True).to(like.device, non_blocking=True)
