"""What an earlier model answers to the training texts, computed once, as targets of its tasks.

Before training and not in every step: the answers to a text never change, so that they are the same in every epoch,
micro-batch and process, the earlier model need not stay in memory, and no step waits for it. Their rows hold as many
numbers as the tasks have outputs (a token classification, for each token).

Letters of the shapes: N rows, V numbers of all rows.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from torch import Tensor

from ..data.flat_columns import column_lengths
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.task import Task
from .sweep import summed, sweep

logger = logging.getLogger(__name__)

COLUMN = "teacher_logits"
"""Per task, the logits of a row: C numbers, of a token classification C for each token, one token after another."""


def teach(
    model: MultiTaskModel,
    rows: Dataset,
    tasks: Sequence[Task],
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    batch_size: int,
    device: torch.device | str = "cpu",
) -> Dataset:
    """`rows` with the `teacher_logits` of `model` for each of the `tasks`, where a row has no target of its own.

    Without dropout, and in float32. Several processes share the texts out and all get all logits.

    Args:
        model: The earlier model, or one with more tasks that has not been trained since.
        rows: Tokenised rows with `targets`.
        tasks: The tasks whose answers are wanted.
        collate: Makes a batch of the model's inputs from rows; see [`MultiTaskCollator`].
        batch_size: Texts answered at once.
        device: Where `model` is to compute; it stays there.
    """
    tokens_N = column_lengths(rows, "input_ids")
    starts = {task.name: _starts(task, tokens_N) for task in tasks}
    found = {name: torch.zeros(int(starts_N[-1])) for name, starts_N in starts.items()}

    def take(indices: list[int], output: Any) -> None:
        for task in tasks:
            logits = output.logits[task.name].float().cpu()
            if not task.reads_tokens:
                found[task.name].view(-1, task.num_labels)[indices] = logits
                continue
            for index, values_LC in zip(indices, logits, strict=True):
                start, end = starts[task.name][index : index + 2]
                found[task.name][start:end] = values_LC[: tokens_N[index]].flatten()

    model.to(device)  # type: ignore[arg-type]  # a name will do
    sweep(model, rows, collate, batch_size, take)
    found = {name: summed(values) for name, values in found.items()}
    targets = rows.with_format("arrow")[:]["targets"].combine_chunks()
    columns = [_column(found[t.name], starts[t.name], pc.struct_field(targets, t.name)) for t in tasks]
    answers = pa.StructArray.from_arrays(columns, [task.name for task in tasks])
    taught: Dataset = concatenate_datasets([rows, Dataset(pa.table({COLUMN: answers}))], axis=1)
    return taught


def warn_of_untaught(datasets: Iterable[Dataset], tasks: Sequence[Task]) -> None:
    """Warn of tasks that have neither a target nor a teacher's answer in any row, as a similarity has without pairs."""
    answers = [rows.with_format("arrow")[:] for rows in datasets]
    for task in tasks:
        fields = [pc.struct_field(found[name], task.name) for found in answers for name in (COLUMN, "targets")]
        if all(field.null_count == len(field) for field in fields):
            logger.warning(
                "Task %r: no training row has what it reads, so that nothing retains it and it may get worse", task.name
            )


def _starts(task: Task, tokens_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the numbers of each row begin, and where the last one's end, (N + 1,)."""
    sizes_N = task.num_labels * (tokens_N if task.reads_tokens else np.ones_like(tokens_N))
    return np.concatenate([[0], sizes_N.cumsum()])


def _column(values_V: Tensor, starts_N: NDArray[np.int64], targets: pa.Array) -> pa.Array:
    """A list per row, null where the row has a target, or where the model has no answer to it."""
    unanswered_N = values_V[torch.from_numpy(starts_N[:-1])].isnan().numpy()
    mask = np.asarray(targets.is_valid()) | unanswered_N
    return pa.LargeListArray.from_arrays(starts_N, pa.array(values_V.numpy()), mask=pa.array(mask))
