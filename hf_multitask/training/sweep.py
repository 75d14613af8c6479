"""One sweep of a model over all rows before training, for what it makes of texts that do not change."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import reduce
from datasets import Dataset
from torch import Tensor, nn

from ..data.mixing import lengths_of
from ..modeling.inference import evaluating

KEPT = ("targets", "teacher_logits", "length", "row")
"""Columns of tokenised rows that are not the model's inputs."""


def sweep(
    model: nn.Module,
    rows: Dataset,
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    batch_size: int,
    take: Callable[[list[int], Any], None],
) -> None:
    """Read each text once, as in evaluation: without dropout, which a frozen encoder otherwise has in training too.

    Long texts come first, with others of their length, so that little is padded. Several processes share the texts out.

    Args:
        model: A [`MultiTaskModel`], wrapped or not, on its device.
        rows: Tokenised rows.
        collate: Makes a batch of the model's inputs from rows; see [`MultiTaskCollator`].
        batch_size: Texts read at once.
        take: Is given the indices of the rows of each batch of this process, and the model's output.
    """
    inputs = rows.remove_columns([name for name in KEPT if name in rows.column_names])
    order: list[int] = np.argsort(-lengths_of(rows), kind="stable").tolist()
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    device = next(model.parameters()).device
    processes = PartialState()
    with evaluating(model, keeps_casts=True):
        for indices in batches[processes.process_index :: processes.num_processes]:
            batch = collate(inputs.__getitems__(indices))
            take(indices, model(**{name: value.to(device) for name, value in batch.items()}))


def summed(values: Tensor) -> Tensor:
    """The sum of what all processes have, on the CPU: of values that are zeros but in one of them, these values."""
    processes = PartialState()
    return reduce(values.to(processes.device), "sum").cpu() if processes.num_processes > 1 else values
