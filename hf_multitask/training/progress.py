"""What a checkpoint holds besides weights and optimizer, so that a resumed run goes on as if it had not been away."""

import json
from pathlib import Path

from ..data.batches import BatchOrder
from ..data.streaming import StreamedBatches
from .gradients import TaskGradients
from .task_stopping import TaskStopping

FILE = "data_order.json"
"""What decided the order of the rows."""


def save_progress(
    folder: str, order: BatchOrder | StreamedBatches | None, stopping: TaskStopping | None, gradients: TaskGradients
) -> None:
    """Write into the checkpoint `folder` what decides the order of the rows, and what stopping and balancing know."""
    if order is not None:
        (Path(folder) / FILE).write_text(json.dumps(order.identity(), indent=2), encoding="utf-8")
    if stopping is not None:
        stopping.save(folder)
    gradients.save(folder)


def load_progress(
    folder: str, order: BatchOrder | StreamedBatches | None, stopping: TaskStopping | None, gradients: TaskGradients
) -> None:
    """Go on from the checkpoint `folder`.

    Raises:
        ValueError: The rows would come in another order than in the run that wrote it: some twice, others never; or the
            tasks would be balanced in another way.
    """
    path = Path(folder) / FILE
    if order is not None and path.is_file():
        saved, found = json.loads(path.read_text(encoding="utf-8")), order.identity()
        if saved != found:
            keys = [key for key in found if saved.get(key) != found[key]]
            wanted, given = ({key: values.get(key) for key in keys} for values in (saved, found))
            raise ValueError(
                f"A resumed run must take its rows in the order of its checkpoint, {wanted}, found {given}. Restore it "
                "(the batch is per_device_train_batch_size, or max_tokens_per_batch, * gradient_accumulation_steps * "
                "processes; a batch of so many rows may be split differently), or start a new run."
            )
    if stopping is not None:
        stopping.load(folder)
    gradients.load(folder)
