"""From logits and labels to one loss per task, and to their weighted sum."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from .configuration_multitask import Task

IGNORE_INDEX = -100
"""Label of a row that has no target for a task (the `ignore_index` of `torch.nn.CrossEntropyLoss`)."""


def count_labels(labels: Tensor) -> Tensor:
    """Number of labelled rows, a 0-d int64 tensor."""
    return labels.ne(IGNORE_INDEX).sum()


def task_losses(
    tasks: Iterable[Task],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    num_items_in_batch: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    r"""Mean loss of each task that has labelled rows,

    $$ \ell_t = \frac{1}{n_t} \sum_{b:\, y_{tb} \ne -100} \mathrm{CE}(z_{tb}, y_{tb}), $$

    in float32 whatever the dtype of the logits.

    A task without labelled rows is absent from the result. A zero in its place would give its head a zero gradient, and
    AdamW moves a parameter with a zero gradient (by momentum and weight decay), but leaves one without gradient alone.

    Args:
        tasks: The model's tasks.
        logits: Per task, (B, C).
        labels: Per task, (B,) int64, -100 where a row has no target.
        num_items_in_batch: Per task, the $n_t$ to divide by: the labelled rows of the whole effective batch, over all
            its micro-batches and processes. It must hold exactly the tasks that have any there, so that all processes
            agree on the heads in use. `None`: this batch is the whole batch.
    """
    if num_items_in_batch is None:
        counts = {name: count_labels(target) for name, target in labels.items()}
        num_items_in_batch = {name: count for name, count in counts.items() if count > 0}
    losses = {}
    for task in tasks:
        if task.name in labels and task.name in num_items_in_batch:
            summed = F.cross_entropy(
                logits[task.name].float(), labels[task.name], ignore_index=IGNORE_INDEX, reduction="sum"
            )
            losses[task.name] = summed / num_items_in_batch[task.name]
    return losses


def total_loss(tasks: Iterable[Task], losses: Mapping[str, Tensor]) -> Tensor | None:
    r"""Weighted sum of the tasks' losses, $\sum_t w_t \ell_t$, a 0-d tensor; `None` where no task has one.

    A task of weight 0 stays out of the graph, so that its head is left alone.
    """
    terms = [task.loss_weight * losses[task.name] for task in tasks if task.loss_weight and task.name in losses]
    return torch.stack(terms).sum() if terms else None
