r"""A task held to the answers of another model (Hinton, Vinyals and Dean 2015): the loss of its distillation.

For the tasks of an earlier model on the texts of new ones, this is Learning without Forgetting (Li and Hoiem 2016).

Letters of the shapes: B texts, L tokens, C outputs of a task.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .constants import constant
from .heads import units
from .task import Task

TEMPERATURE = 2.0
"""Divides the logits of both models, so that labels which are not the likeliest count too; that of Li and Hoiem."""


def taught(task: Task, teacher_logits: Tensor) -> Tensor:
    """Where there is an answer to be held to, bool: (B,), or (B, L), for tasks with one label, else (B, C)."""
    known = ~teacher_logits.isnan()
    return known.all(dim=-1) if task.is_choice else known


def count_taught(task: Task, teacher_logits: Tensor) -> Tensor:
    """Number of answers to be held to (rows, tokens, or values of a row), a 0-d int64 tensor."""
    return taught(task, teacher_logits).sum()


def summed_distillation(task: Task, logits: Tensor, teacher_logits: Tensor) -> Tensor:
    r"""Sum over all answers of how far `logits` z are from `teacher_logits` t, a 0-d float32 tensor, 0 if they agree:

    $$ T^2 \, \mathrm{KL}(\mathrm{softmax}(t / T) \,\|\, \mathrm{softmax}(z / T)) $$

    where a text or token has one label, with $T$ = [`TEMPERATURE`]; the same of $\sigma(t / T)$ and $\sigma(z / T)$ for
    each label where it may have any number, which is the binary cross-entropy less its least value; the squared error
    of the standardised values for a regression, and of the cosine for a similarity. Class weights and label smoothing
    are for labels, and play no part.

    Args:
        task: The task.
        logits: (B, C), or (B, L, C) of a token classification.
        teacher_logits: Of the same shape, NaN where there is nothing to be held to.
    """
    known = taught(task, teacher_logits)
    ignored = ~known[..., None] if task.is_choice else ~known
    # Masked before anything is computed: the cosine of a text without a partner is NaN, and so would be its gradient.
    z = logits.float().masked_fill(ignored, 0.0)
    t = teacher_logits.float().masked_fill(ignored, 0.0)
    if task.is_choice:
        student, teacher = (x.div(TEMPERATURE).log_softmax(dim=-1) for x in (z, t))
        return F.kl_div(student, teacher, reduction="sum", log_target=True) * TEMPERATURE**2
    if task.problem_type == "multi_label_classification":
        p = torch.sigmoid(t / TEMPERATURE)
        entropy = F.binary_cross_entropy_with_logits(t / TEMPERATURE, p, reduction="sum")
        cross_entropy = F.binary_cross_entropy_with_logits(z / TEMPERATURE, p, reduction="sum")
        return (cross_entropy - entropy) * TEMPERATURE**2
    spread = constant(units(task)[1], z) if task.problem_type == "regression" else 1.0
    return ((z - t) / spread).square().sum()
