"""How many targets a step has."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..modeling.losses import count_labels
from ..modeling.task import Task


def count_targets(tasks: Sequence[Task], batches: Sequence[Mapping[str, Any]]) -> Tensor:
    """Per task, the number of its targets in all `batches`, (T,) int64; each batch may have `labels` by task."""
    counts_T = torch.zeros(len(tasks), dtype=torch.int64)
    for labels in (batch.get("labels", {}) for batch in batches):
        for index, task in enumerate(tasks):
            if task.name in labels:
                counts_T[index] += count_labels(labels[task.name]).cpu()
    return counts_T
