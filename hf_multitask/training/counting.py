"""How many targets a step has."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..modeling.labels import check_by_task
from ..modeling.losses import count_items
from ..modeling.task import Task


def count_batch_targets(tasks: Sequence[Task], batches: Sequence[Mapping[str, Any]]) -> Tensor:
    """Per task, the number of its targets in all `batches`, (T,) int64.

    Each batch may have `labels` by task, and `teacher_logits`, whose answers are targets too.

    Raises:
        ValueError: Its labels are not by task.
    """
    counts_T = torch.zeros(len(tasks), dtype=torch.int64)
    for batch in batches:
        labels = batch.get("labels", {})
        if tasks:  # one at least has not been stopped
            check_by_task(tasks, labels)
        counts_T += count_items(tasks, labels, batch.get("teacher_logits", {})).cpu()
    return counts_T
