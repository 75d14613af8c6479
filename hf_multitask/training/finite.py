"""A loss that is no number ends the run, and says where it came from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..modeling.labels import labelled
from ..modeling.summed_losses import summed_losses
from ..modeling.task import Task


class FiniteLosses:
    """Ends a run whose losses are no finite numbers.

    On a GPU one micro-batch later than they are computed, so that the host is ahead of it; the Trainer calls [`check`]
    before anything is logged, evaluated or saved. The weights in memory are spoiled then, by the step between.

    Args:
        tasks: The model's tasks.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._batch: _Batch | None = None

    def add(
        self,
        losses: Mapping[str, Tensor],
        logits: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        row_ids: Sequence[str] | None,
        step: int,
    ) -> None:
        """A micro-batch was computed; on a GPU, the one before is checked.

        Args:
            losses: Per task with targets, its loss.
            logits: Per task, those of the batch.
            labels: Per task, those of the batch.
            row_ids: Where the rows of the batch come from, if they tell.
            step: The optimizer step, from 0.

        Raises:
            FloatingPointError: A loss is not finite; the message names the step, the tasks and the rows.
        """
        before, self._batch = self._batch, None
        if losses:
            finite = torch.stack([loss.detach() for loss in losses.values()]).isfinite().all()
            answer = _Answer(finite)
            self._batch = _Batch(answer, _kept(losses), _kept(logits), _kept(labels), row_ids, step)
            if not answer.is_late:
                self.check()
        self._check(before)

    def check(self) -> None:
        """Wait for the losses of the last micro-batch, too.

        Raises:
            FloatingPointError: One is not finite.
        """
        last, self._batch = self._batch, None
        self._check(last)

    def clear(self) -> None:
        """Forget what an interrupted run left."""
        self._batch = None

    def _check(self, batch: "_Batch | None") -> None:
        if batch is None or batch.finite.wait():
            return
        found = []
        for task in self._tasks:
            if task.name in batch.losses and not batch.losses[task.name].isfinite():
                rows = _rows_to_blame(task, batch.logits[task.name], batch.labels[task.name])
                names = [str(batch.row_ids[row]) if batch.row_ids else str(row) for row in rows]
                found.append(f"{batch.losses[task.name].item()} for task {task.name!r} in the rows {', '.join(names)}")
        raise FloatingPointError(
            f"Step {batch.step}: the loss of every task must be a finite number, found {'; '.join(found)}. Look at "
            "these rows, or lower the learning rates; the last checkpoint holds the weights before"
            f"{', those in memory are spoiled' if batch.finite.is_late else ''}."
        )


class _Answer:
    """A yes or no that a GPU may not have computed yet.

    Args:
        value: A 0-d bool tensor.
    """

    is_late = False

    def __init__(self, value: Tensor) -> None:
        self._value, self._done = value, None
        if value.device.type == "cuda":
            self.is_late = True
            self._value = torch.empty((), dtype=torch.bool, pin_memory=True).copy_(value, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record()

    def wait(self) -> bool:
        """The answer, once it is there."""
        if self._done is not None:
            self._done.synchronize()
        return bool(self._value)


def _kept(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values without what is only needed for a backward pass."""
    return {name: value.detach() for name, value in values.items()}


class _Batch(NamedTuple):
    finite: _Answer
    losses: Mapping[str, Tensor]
    logits: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    row_ids: Sequence[str] | None
    step: int


def _rows_to_blame(task: Task, logits: Tensor, labels: Tensor) -> list[int]:
    """Rows of the batch whose own loss is not finite; all that have targets, where only their sum is not.

    All rows where the targets are another model's answers, which every row may have.
    """
    known = [row for row in range(len(labels)) if labelled(labels[row]).any()] or list(range(len(labels)))
    alone = [row for row in known if not _loss_of(task, logits[row : row + 1], labels[row : row + 1]).isfinite()]
    return alone or known


def _loss_of(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    return summed_losses([task], {task.name: logits}, {task.name: labels})[task.name]
