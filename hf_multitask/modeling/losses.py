"""From logits and labels to one loss per task, and to their weighted sum.

Letters of the shapes: B texts, L tokens, C outputs of a task.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .distillation import count_taught, summed_distillation
from .heads import units
from .task import Task

IGNORE_INDEX = -100
"""Label of a row, or token, that has no target for a task (the `ignore_index` of `torch.nn.CrossEntropyLoss`)."""


def labelled(labels: Tensor) -> Tensor:
    """Where there is a target: labels that are not -100, or, among float labels, not NaN. Boolean, as `labels`."""
    return ~labels.isnan() if labels.is_floating_point() else labels.ne(IGNORE_INDEX)


def count_labels(labels: Tensor) -> Tensor:
    """Number of targets (rows, tokens, or values of a row), a 0-d int64 tensor."""
    return labelled(labels).sum()


def count_items(task: Task, labels: Mapping[str, Tensor], teacher_logits: Mapping[str, Tensor]) -> Tensor:
    """Number of the task's targets, labels and answers of another model together, a 0-d int64 tensor."""
    count = torch.zeros((), dtype=torch.int64)
    if task.name in labels:
        count = count_labels(labels[task.name])
    if task.name in teacher_logits:
        count = count.to(teacher_logits[task.name].device) + count_taught(task, teacher_logits[task.name])
    return count


def check_labels(tasks: Iterable[Task], labels: Any) -> None:
    """Raise unless `labels` can be those of the tasks.

    Raises:
        ValueError: They are no mapping, or name another task.
    """
    names = [task.name for task in tasks]
    if not isinstance(labels, Mapping):
        raise ValueError(
            f"labels must be a mapping from task to tensor, found {type(labels).__name__}. "
            f"Pass labels={{{names[0]!r}: tensor, ...}}."
        )
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise ValueError(f"labels must name the model's tasks {names}, found {unknown}. Remove them, or add_task(...).")


def task_losses(
    tasks: Iterable[Task],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    num_items_in_batch: Mapping[str, Tensor] | None = None,
    teacher_logits: Mapping[str, Tensor] | None = None,
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
    """
    tasks, teacher_logits = list(tasks), teacher_logits or {}
    if num_items_in_batch is None:
        counts = {task.name: count_items(task, labels, teacher_logits) for task in tasks}
        num_items_in_batch = {name: count for name, count in counts.items() if count > 0}
    losses = {}
    for task in (task for task in tasks if task.name in num_items_in_batch):
        sums = []
        if task.name in labels:
            sums.append(summed_loss(task, logits[task.name], labels[task.name]))
        if task.name in teacher_logits:
            sums.append(summed_distillation(task, logits[task.name], teacher_logits[task.name]))
        if sums:
            losses[task.name] = torch.stack(sums).sum() / num_items_in_batch[task.name]
    return losses


def summed_loss(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the losses of all targets, a 0-d float32 tensor; the arguments as in [`task_losses`]."""
    logits = logits.float()
    weights = None if task.class_weights is None else logits.new_tensor(task.class_weights)
    if task.is_choice:
        return F.cross_entropy(
            logits.reshape(-1, task.num_labels),
            labels.reshape(-1),
            weight=weights,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
            label_smoothing=task.label_smoothing,
        )
    labels = labels.reshape(logits.shape).float()
    known = labelled(labels)
    labels = labels.masked_fill(~known, 0.0)
    if task.problem_type == "multi_label_classification":
        smooth = labels * (1 - task.label_smoothing) + task.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none")
        return losses.masked_fill(~known, 0.0).sum()
    if task.problem_type == "regression":
        spread: Tensor | float = logits.new_tensor(units(task)[1])
    else:
        low, high = task.score_range or (0.0, 1.0)
        labels, spread = (labels - low) / (high - low), 1.0
    # Masked before it is squared: the cosine of a text without a partner is NaN, and so would be its gradient.
    errors = (logits - labels).masked_fill(~known, 0.0) / spread
    return errors.square().sum()


def total_loss(tasks: Iterable[Task], losses: Mapping[str, Tensor]) -> Tensor | None:
    r"""Weighted sum of the tasks' losses, $\sum_t w_t \ell_t$, a 0-d tensor; `None` where no task has one.

    A task of weight 0 stays out of the graph, so that its head is left alone.
    """
    terms = [task.loss_weight * losses[task.name] for task in tasks if task.loss_weight and task.name in losses]
    return torch.stack(terms).sum() if terms else None
