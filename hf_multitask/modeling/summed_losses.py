"""From logits and labels to the sum of each task's losses, tasks of one kind together.

Letters of the shapes: C outputs of a task, G tasks of one kind, N texts or tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .constants import constant
from .heads import units
from .labels import IGNORE_INDEX, labelled
from .task import Task


def summed_losses(
    tasks: Iterable[Task], logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Per task, the sum of the losses of all its targets, a 0-d float32 tensor; the arguments as in [`task_losses`].

    Tasks of one kind are computed together: each operation on a tensor has a cost of its own, which for a hundred heads
    is more than that of the numbers in it.
    """
    groups: dict[Any, list[Task]] = {}
    for task in tasks:
        groups.setdefault(_kind(task, logits[task.name]), []).append(task)
    found: dict[str, Tensor] = {}
    for group in groups.values():
        logits_GNC = _stacked([logits[task.name] for task in group]).float()
        shape = logits_GNC.shape[1:-1] if group[0].is_choice else logits_GNC.shape[1:]
        labels_GN = _stacked([labels[task.name].reshape(shape) for task in group])
        sums_G = (_choice if group[0].is_choice else _numbers)(group, logits_GNC, labels_GN)
        found |= zip((task.name for task in group), sums_G.unbind(), strict=True)
    return found


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """As `torch.stack`, without a copy of one."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]


def _kind(task: Task, logits: Tensor) -> Any:
    """What tasks have in common whose losses are computed together."""
    alike = task.is_choice or task.problem_type, logits.shape, task.label_smoothing, task.class_weights is None
    needs_torch = task.is_choice and task.class_weights is not None and task.label_smoothing  # its own formula for both
    return (*alike, task.name) if needs_torch else alike


def _choice(tasks: Sequence[Task], logits_GNC: Tensor, labels_GN: Tensor) -> Tensor:
    """Summed cross-entropies, (G,)."""
    weights_GC = None
    if tasks[0].class_weights is not None:
        weights_GC = constant([task.class_weights for task in tasks], logits_GNC)
    logits, labels = logits_GNC.flatten(0, -2), labels_GN.flatten()
    smoothing = tasks[0].label_smoothing
    if len(tasks) == 1:
        weight = None if weights_GC is None else weights_GC[0]
        how: Any = {"weight": weight, "ignore_index": IGNORE_INDEX, "label_smoothing": smoothing}
        return F.cross_entropy(logits, labels, reduction="sum", **how)[None]
    losses = F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="none", label_smoothing=smoothing)
    losses_GN = losses.view(len(tasks), -1)
    if weights_GC is not None:
        losses_GN = losses_GN * weights_GC.gather(1, labels_GN.flatten(1).clamp(min=0))
    return losses_GN.sum(dim=1)


def _numbers(tasks: Sequence[Task], logits_GNC: Tensor, labels_GNC: Tensor) -> Tensor:
    """Summed losses of tasks whose targets are numbers, or any number of labels, (G,)."""
    known = labelled(labels_GNC)
    labels_GNC = labels_GNC.float().masked_fill(~known, 0.0)
    if tasks[0].problem_type == "multi_label_classification":
        weights_G1C = None
        if tasks[0].class_weights is not None:
            weights_G1C = constant([[task.class_weights] for task in tasks], logits_GNC)
        smoothing = tasks[0].label_smoothing
        smooth = labels_GNC * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits_GNC, smooth, pos_weight=weights_G1C, reduction="none")
        return losses.masked_fill(~known, 0.0).flatten(1).sum(dim=1)
    if tasks[0].problem_type == "regression":
        spread_G1C = constant([[units(task)[1]] for task in tasks], logits_GNC)
    else:
        ranges_GR = constant([task.score_range or (0.0, 1.0) for task in tasks], logits_GNC)
        low_G11, high_G11 = ranges_GR[:, :, None, None].unbind(1)
        labels_GNC, spread_G1C = (labels_GNC - low_G11) / (high_G11 - low_G11), torch.ones_like(low_G11)
    # Masked before it is squared: the cosine of a text without a partner is NaN, and so would be its gradient.
    errors = (logits_GNC - labels_GNC).masked_fill(~known, 0.0) / spread_G1C
    return errors.square().flatten(1).sum(dim=1)
