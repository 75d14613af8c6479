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
from accelerate import PartialState
from accelerate.utils import reduce
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from torch import Tensor

from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.task import Task
from .frozen import longest_first

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
    inputs = rows.remove_columns([name for name in ("targets", "length", "row") if name in rows.column_names])
    tokens_N = _lengths(rows)
    starts = {task.name: _starts(task, tokens_N) for task in tasks}
    found = {name: torch.zeros(int(starts_N[-1])) for name, starts_N in starts.items()}
    processes = PartialState()
    batches = longest_first(rows, batch_size)
    model.to(device).eval()  # type: ignore[arg-type]  # a name will do
    for indices in batches[processes.process_index :: processes.num_processes]:
        logits = _answer(model, collate(inputs.__getitems__(indices)))
        for task in tasks:
            if not task.reads_tokens:
                found[task.name].view(-1, task.num_labels)[indices] = logits[task.name]
                continue
            for index, values_LC in zip(indices, logits[task.name], strict=True):
                start, end = starts[task.name][index : index + 2]
                found[task.name][start:end] = values_LC[: tokens_N[index]].flatten()
    if processes.num_processes > 1:  # the rows of the others are zeros
        found = {name: reduce(values.to(processes.device), "sum").cpu() for name, values in found.items()}
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


@torch.no_grad()
def _answer(model: MultiTaskModel, batch: dict[str, Any]) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    output = model(**{name: value.to(device) for name, value in batch.items()})
    return {name: logits.float().cpu() for name, logits in output.logits.items()}


def _lengths(rows: Dataset) -> NDArray[np.int64]:
    """Number of tokens of each row's first text (or pair), (N,)."""
    ids = rows.with_format("arrow")[:]["input_ids"]
    lengths: NDArray[np.int64] = pc.list_value_length(ids).to_numpy().astype(np.int64)
    return lengths


def _starts(task: Task, tokens_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the numbers of each row begin, and where the last one's end, (N + 1,)."""
    sizes_N = task.num_labels * (tokens_N if task.reads_tokens else np.ones_like(tokens_N))
    return np.concatenate([[0], sizes_N.cumsum()])


def _column(values_V: Tensor, starts_N: NDArray[np.int64], targets: pa.Array) -> pa.Array:
    """A list per row, null where the row has a target, or where the model has no answer to it."""
    unanswered_N = values_V[torch.from_numpy(starts_N[:-1])].isnan().numpy()
    mask = np.asarray(targets.is_valid()) | unanswered_N
    return pa.LargeListArray.from_arrays(starts_N, pa.array(values_V.numpy()), mask=pa.array(mask))
