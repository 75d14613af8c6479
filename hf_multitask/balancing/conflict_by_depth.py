"""Where in the encoder the tasks disagree: the cosines of their gradients, per group of parameters.

Letters of the shapes: T tasks, P parameters of a group.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from .cosines import pair_cosines


def depth_cosines(
    losses: Mapping[str, Tensor],
    groups: Mapping[str, Sequence[Parameter]],
    names: Sequence[str],
    reduce: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    """By `conflict/<a>|<b>/<group>`, the cosine of each pair's gradients of all parameters of the group that learn.

    It costs a backward pass for each loss, and holds all T gradients of the encoder at once. The losses keep their
    graph, and no parameter's `grad` is touched. A [`FanOut`] that they went through must leave the gradients as they
    are meanwhile. Not for sharded parameters (FSDP, ZeRO 3).

    Args:
        losses: Per task with labels in this process, its loss of one micro-batch.
        groups: The encoder's parameters by name, such as `embeddings`, `layers.0` and `top`.
        names: Of all T tasks, in the model's order; the same in all processes.
        reduce: Sums a tensor over all processes, all of which call this, also one without a loss.
    """
    learning = {name: [p for p in group if p.requires_grad] for name, group in groups.items()}
    learning = {name: group for name, group in learning.items() if group}
    flat = [parameter for group in learning.values() for parameter in group]
    gradients: dict[str, list[Tensor | None]] = {
        name: list(torch.autograd.grad(losses[name], flat, retain_graph=True, allow_unused=True))
        for name in names
        if flat and name in losses and losses[name].requires_grad
    }
    found: dict[str, float] = {}
    start = 0
    for group, parameters in learning.items():
        places = range(start, start + len(parameters))
        start += len(parameters)
        rows = []
        for name in names:
            parts = [gradients[name][place] if name in gradients else None for place in places]
            filled = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, parts, strict=True)]
            rows.append(torch.cat([part.float().flatten() for part in filled]))
        found |= pair_cosines(names, reduce(torch.stack(rows)), group)
    return found
