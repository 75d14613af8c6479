"""From a task's logits to its answer.

Letters of the shapes: N texts or tokens, C outputs of a task.
"""

import torch
from torch import Tensor

from .task import Task


def probabilities(task: Task, logits: Tensor) -> Tensor:
    r"""Calibrated probability of each label, float32, the shape of `logits` (..., C).

    $\mathrm{softmax}(z / T)$ over the labels where a text has one of them, $\sigma(z / T)$ for each label where it may
    have any number, with the task's temperature T.

    Raises:
        ValueError: The task's answers are numbers, not labels.
    """
    scaled = logits.float() / task.temperature
    if task.is_choice:
        return scaled.softmax(dim=-1)
    if task.problem_type == "multi_label_classification":
        return scaled.sigmoid()
    raise ValueError(
        f"Task {task.name!r}: probabilities need a task with labels, found {task.problem_type!r}. Read its logits: "
        "they are its answers."
    )


def decide(task: Task, logits: Tensor) -> Tensor:
    """The task's answers.

    The index of the label, (...,) int64: of an ordinal task the median class, the lowest that is reached with a
    probability of at least one half, and the likeliest otherwise. Which labels apply, (..., C) bool, where a text may
    have any number: those whose probability reaches their threshold. Else the numbers themselves, (..., C) float32.
    """
    if task.problem_type == "ordinal":
        at_most = probabilities(task, logits).cumsum(dim=-1)[..., :-1]
        return (at_most < 0.5).sum(dim=-1)
    if task.is_choice:
        return logits.argmax(dim=-1)
    if task.problem_type == "multi_label_classification":
        p = probabilities(task, logits)
        return p >= p.new_tensor(task.thresholds or (0.5,) * task.num_labels)
    return logits.to(torch.float32)
