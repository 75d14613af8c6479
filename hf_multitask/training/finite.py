"""A loss that is no number ends the run, and says where it came from."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..modeling.losses import labelled, summed_loss
from ..modeling.task import Task


def check_finite(
    tasks: Sequence[Task],
    losses: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    row_ids: Sequence[str] | None,
    step: int,
) -> None:
    """Raise unless every loss is finite.

    Args:
        tasks: The model's tasks.
        losses: Per task with targets, its loss.
        logits: Per task, those of the batch.
        labels: Per task, those of the batch.
        row_ids: Where the rows of the batch come from, if they tell.
        step: The optimizer step, from 0.

    Raises:
        FloatingPointError: One is not; the message names the step, the tasks and the rows.
    """
    if not losses or bool(torch.stack(list(losses.values())).isfinite().all()):
        return
    found = []
    for task in tasks:
        if task.name in losses and not losses[task.name].isfinite():
            rows = _rows_to_blame(task, logits[task.name].detach(), labels[task.name])
            names = [str(row_ids[row]) if row_ids else str(row) for row in rows]
            found.append(f"{losses[task.name].item()} for task {task.name!r} in the rows {', '.join(names)}")
    raise FloatingPointError(
        f"Step {step}: the loss of every task must be a finite number, found {'; '.join(found)}. Look at these rows, "
        "or lower the learning rates; the last checkpoint holds the weights before."
    )


def _rows_to_blame(task: Task, logits: Tensor, labels: Tensor) -> list[int]:
    """Rows of the batch whose own loss is not finite; all that have targets, where only their sum is not.

    All rows where the targets are another model's answers, which every row may have.
    """
    known = [row for row in range(len(labels)) if labelled(labels[row]).any()] or list(range(len(labels)))
    alone = [row for row in known if not summed_loss(task, logits[row : row + 1], labels[row : row + 1]).isfinite()]
    return alone or known
