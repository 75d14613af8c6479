"""From logits and labels to one loss per task, and to their weighted sum.

Letters of the shapes: B texts, L tokens, C outputs of a task, T tasks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .constants import constant
from .distillation import count_taught, summed_distillation
from .labels import labelled
from .summed_losses import summed_losses
from .task import Task


def count_items(tasks: Sequence[Task], labels: Mapping[str, Tensor], teacher_logits: Mapping[str, Tensor]) -> Tensor:
    """Per task, the number of its targets, labels and answers of another model together, (T,) int64."""
    alike: dict[Any, list[str]] = {}
    for name in (task.name for task in tasks if task.name in labels):
        alike.setdefault((labels[name].shape, labels[name].dtype), []).append(name)
    counts: dict[str, Tensor] = {}
    for names in alike.values():
        known = labelled(torch.stack([labels[name] for name in names]))
        counts |= zip(names, known.flatten(1).sum(dim=1).unbind(), strict=True)
    for task in (task for task in tasks if task.name in teacher_logits):
        count = count_taught(task, teacher_logits[task.name])
        counts[task.name] = counts[task.name] + count if task.name in counts else count
    if not counts:
        return torch.zeros(len(tasks), dtype=torch.int64)
    none = torch.zeros_like(next(iter(counts.values())))
    return torch.stack([counts.get(task.name, none) for task in tasks])


def task_losses(
    tasks: Iterable[Task],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    num_items_in_batch: Mapping[str, Tensor] | None = None,
    teacher_logits: Mapping[str, Tensor] | None = None,
    together: Collection[str] = (),
) -> dict[str, Tensor]:
    r"""Mean loss of each task that has targets,

    $$ \ell_t = \frac{1}{n_t} \sum_{i:\, y_{ti} \text{ known}} \ell(z_{ti}, y_{ti}), $$

    in float32 whatever the dtype of the logits. $\ell$ is the cross-entropy for one label of a text or token (of an
    ordinal task, that of CORN), the binary cross-entropy for any number of labels, the squared error of the
    standardised values for a regression, and of the cosine for a similarity. Class weights multiply a term; $n_t$ stays
    the number of targets, so that the gradient is the same however rows are spread over batches. An answer of another
    model is a target too, whose $\ell$ is that of [`summed_distillation`].

    A task without targets is absent from the result. A zero in its place would give its head a zero gradient, and
    AdamW moves a parameter with a zero gradient (by momentum and weight decay), but leaves one without gradient alone.

    Args:
        tasks: The model's tasks.
        logits: Per task, (B, C), or (B, L, C) of a token classification.
        labels: Per task, (B,) int64, or (B, L) of a token classification, -100 where there is no target; or (B, C)
            float, NaN where there is none.
        num_items_in_batch: Per task, the $n_t$ to divide by: the targets of the whole effective batch, over all its
            micro-batches and processes. It must hold exactly the tasks that have any there, so that all processes
            agree on the heads in use. `None`: this batch is the whole batch.
        teacher_logits: Per task, another model's logits, NaN where a label, or nothing, is the target instead.
        together: Tasks that are learned from their sum. Computed at once they take less time, and the loss of one alone
            would give the heads of all a gradient, of zeros.
    """
    tasks, teacher_logits = list(tasks), teacher_logits or {}
    if num_items_in_batch is None:
        counts_T = count_items(tasks, labels, teacher_logits)
        counted = zip(tasks, counts_T, counts_T.tolist(), strict=True)
        num_items_in_batch = {task.name: count for task, count, number in counted if number}
    losses: dict[str, Tensor] = {}
    for group in [[task for task in tasks if task.name in together], *([task] for task in tasks)]:
        missing = [task for task in group if task.name not in losses and task.name in num_items_in_batch]
        losses |= _mean_losses(missing, logits, labels, num_items_in_batch, teacher_logits)
    return {task.name: losses[task.name] for task in tasks if task.name in losses}


def _mean_losses(
    tasks: Sequence[Task],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    num_items_in_batch: Mapping[str, Tensor],
    teacher_logits: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Those of the tasks with targets, computed at once."""
    sums = summed_losses([task for task in tasks if task.name in labels], logits, labels)
    for task in (task for task in tasks if task.name in teacher_logits):
        distilled = summed_distillation(task, logits[task.name], teacher_logits[task.name])
        sums[task.name] = sums[task.name] + distilled if task.name in sums else distilled
    if len(sums) < 2:
        return {name: total / num_items_in_batch[name] for name, total in sums.items()}
    sums_T = torch.stack(list(sums.values()))
    counts_T = torch.stack([torch.as_tensor(num_items_in_batch[name]) for name in sums])
    losses_T = sums_T / counts_T.to(sums_T.device, non_blocking=True)
    return dict(zip(sums, losses_T.unbind(), strict=True))


def names_learned(
    tasks: Iterable[Task],
    labels: Mapping[str, Tensor] | None,
    teacher_logits: Mapping[str, Tensor] | None,
    num_items_in_batch: Mapping[str, Tensor] | None,
) -> set[str]:
    """Tasks that are certain to be in the total loss, as far as can be told without a look at the labels.

    None without `num_items_in_batch`. The arguments are those of [`task_losses`].
    """
    if labels is None or num_items_in_batch is None:
        return set()
    given = {*labels, *(teacher_logits or {})} & set(num_items_in_batch)
    return {task.name for task in tasks if task.loss_weight and task.name in given}


def total_loss(tasks: Iterable[Task], losses: Mapping[str, Tensor]) -> Tensor | None:
    r"""Weighted sum of the tasks' losses, $\sum_t w_t \ell_t$, a 0-d tensor; `None` where no task has one.

    A task of weight 0 stays out of the graph, so that its head is left alone.
    """
    tasks = [task for task in tasks if task.loss_weight and task.name in losses]
    if not tasks:
        return None
    losses_T = torch.stack([losses[task.name] for task in tasks])
    weights = [task.loss_weight for task in tasks]
    return losses_T.sum() if set(weights) == {1.0} else (losses_T * constant(weights, losses_T)).sum()
