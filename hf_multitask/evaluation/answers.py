"""A task's answers and targets over a split, without what has no target.

Letters of the shapes: N rows of the split, L tokens, n rows (or tokens) with a target, R rows among which these are,
C outputs of the task, B weightings of the rows, K columns.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from ..modeling.decoding import decide, probabilities
from ..modeling.labels import labelled
from ..modeling.task import Task

Floats: TypeAlias = NDArray[np.float64]


COSINE_DIGITS = 6
"""Digits of a cosine that do not depend on what else is in a batch."""


@dataclass(frozen=True)
class Answers:
    """What was answered and what was right.

    Args:
        task: The task.
        decided: The task's decisions: (n,) int64 class indices, (n, C) int64 of 0 and 1, or (n, C) float numbers.
        targets: Of the same shape; float with NaN where one of several values has no target.
        rows: (n,) int64, the row (text) of each answer, from 0 to R - 1, in ascending order.
        probabilities: (n, C) float64 where the task has labels, else `None`.
    """

    task: Task
    decided: NDArray[Any]
    targets: NDArray[Any]
    rows: NDArray[np.int64]
    probabilities: Floats | None = None

    @property
    def row_count(self) -> int:
        """Number R of rows that have a target."""
        return int(self.rows[-1]) + 1 if len(self.rows) else 0

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a target, the shape of `targets`."""
        known: NDArray[np.bool_] = ~np.isnan(self.targets)
        return known

    @property
    def is_finite(self) -> bool:
        """Whether the model's outputs are numbers, which those of a diverged model are not."""
        values = self.decided if self.probabilities is None else self.probabilities
        return bool(np.isfinite(values).all())


def read_answers(task: Task, logits: ArrayLike, labels: ArrayLike) -> Answers | None:
    """The answers of a split's rows that have a target for the task; `None` where none has.

    Args:
        task: The task.
        logits: (N, C), or (N, L, C) of a token classification.
        labels: (N,) int64, or (N, L) of a token classification, -100 where there is no target; or (N, C) float, NaN
            where there is none.
    """
    outputs, targets, rows = counted(task, logits, labels)
    if not len(outputs):
        return None
    decided = decide(task, outputs.numpy()).astype(np.int64 if task.has_classes else np.float64)
    if task.problem_type == "similarity":  # the last digits of a cosine depend on the batch, and would rank equal texts
        decided = decided.round(COSINE_DIGITS)
    return Answers(
        task=task,
        decided=decided,
        targets=targets.numpy(),
        rows=np.unique(rows.numpy(), return_inverse=True)[1].astype(np.int64),
        probabilities=probabilities(task, outputs.numpy()).astype(np.float64) if task.has_classes else None,
    )


def counted(task: Task, logits: ArrayLike, labels: ArrayLike) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, C), targets (n,) int64 or (n, C) float64, and rows (n,) of the split, of what has a target.

    The arguments are those of [`read_answers`].
    """
    outputs, targets = torch.as_tensor(np.asarray(logits)), torch.as_tensor(np.asarray(labels))
    if not task.is_choice:
        targets = targets.reshape(outputs.shape).double()
    known = labelled(targets)
    if not task.is_choice:
        known = known.any(dim=-1)
    return outputs[known], targets[known], known.nonzero()[:, 0]


def divided(part: Floats, whole: Floats | float) -> Floats:
    """`part` / `whole`, 0 where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)


def row_sums(
    weights_BR: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], values: ArrayLike, width: int
) -> Floats:
    """Sums of values over the rows they belong to, each as often as the row counts, per column: (B, `width`).

    Args:
        weights_BR: How often each row counts.
        rows: (n,) row of each value.
        columns: (n,) column of each value, below `width`.
        values: (n,) numbers, or one number for all.
        width: Number of columns.
    """
    entries = np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape)
    table_RK = sparse.csr_array((entries, (rows, columns)), shape=(weights_BR.shape[1], width))
    return np.asarray(weights_BR @ table_RK)
