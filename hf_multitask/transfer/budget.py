"""How many examples of each task the shared model sees, and how another run sees as many.

Letters of the shapes: N rows of all datasets.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from ..data.mapping import with_targets
from ..data.mixing import Mixture
from ..settings.mixing_settings import MixingSettings
from ..training.arguments import MultiTaskTrainingArguments
from ..training.loading import train_batches


class Budget:
    """What the shared run spends: its steps, and how often it sees each row.

    Args:
        mixture: Its training rows.
        args: Its training arguments, of one process.
    """

    def __init__(self, mixture: Mixture, args: MultiTaskTrainingArguments) -> None:
        self._mixture = mixture
        self._batch_rows = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._drop_last = args.dataloader_drop_last
        order = train_batches(mixture, args)
        per_epoch = math.ceil(len(order) / args.gradient_accumulation_steps)
        self.steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * per_epoch)
        seen_N = np.zeros(len(mixture), dtype=np.int64)
        for epoch in range(math.ceil(self.steps / per_epoch)):
            order.set_epoch(epoch)
            batches = order.effective_batches()[: self.steps - epoch * per_epoch]
            seen_N += np.bincount(np.concatenate(batches), minlength=len(mixture))
        ends = np.cumsum([len(rows) for rows in mixture.datasets.values()])
        self._seen = dict(zip(mixture.datasets, np.split(seen_N, ends[:-1]), strict=True))

    def examples(self, tasks: Collection[str]) -> dict[str, int]:
        """Per dataset, how many rows with a target for one of the `tasks` are drawn, each as often as it is."""
        return {
            name: int(self._seen[name][has_target(rows, tasks)].sum()) for name, rows in self._mixture.datasets.items()
        }

    def rows(self, tasks: Collection[str]) -> Mixture:
        """The rows with a target for one of the `tasks`, without other targets, drawn from each dataset as often.

        Raises:
            ValueError: The shared run sees none.
        """
        drawn = {name: count for name, count in self.examples(tasks).items() if count}
        if not drawn:
            raise ValueError(
                f"Every task that is compared must be trained on, found no examples of {sorted(tasks)} in the shared "
                "run. Train for longer, or raise the share of its datasets."
            )
        datasets = {name: rows_of(self._mixture.datasets[name], tasks, name) for name in drawn}
        settings = MixingSettings()
        if self._mixture.settings.strategy != settings.strategy:
            settings = MixingSettings(strategy="weights", weights={name: float(n) for name, n in drawn.items()})
        return Mixture(datasets, settings)

    def steps_for(self, rows: Mixture, examples: int) -> tuple[int, int]:
        """The steps on `rows` that see most nearly so many examples, at least one, and how many these see."""
        full, rest = divmod(len(rows), self._batch_rows)
        sizes = [self._batch_rows] * full + [rest] * (rest > 0 and not self._drop_last)
        if not sizes:
            raise ValueError(
                f"There must be a full batch of {self._batch_rows} rows of every task where the last, short one is "
                f"dropped, found {len(rows)} rows. Pass dataloader_drop_last=False, or a smaller batch."
            )
        epochs = examples // sum(sizes)
        seen = epochs * sum(sizes) + np.concatenate([[0], np.cumsum(sizes)])
        steps = int(np.abs(seen - examples).argmin())
        steps = steps if epochs + steps else 1
        return epochs * len(sizes) + steps, int(seen[steps])


def has_target(rows: Dataset, tasks: Collection[str]) -> NDArray[np.bool_]:
    """Whether each row has a target for one of the `tasks`, (N,)."""
    known = [task for task in tasks if task in _targets(rows)]
    if not known:
        return np.zeros(len(rows), dtype=np.bool_)
    targets = rows.with_format("arrow").select_columns(["targets"])[:]["targets"].combine_chunks()
    found: NDArray[np.bool_] = np.any([pc.struct_field(targets, task).is_valid() for task in known], axis=0)
    return found


def rows_of(rows: Dataset, tasks: Collection[str], name: str) -> Dataset:
    """The rows with a target for one of the `tasks`, without other targets."""
    known = [task for task in _targets(rows) if task in tasks]
    return (
        rows if len(known) == len(_targets(rows)) and has_target(rows, known).all() else with_targets(rows, known, name)
    )


def _targets(rows: Dataset) -> Any:
    """The names of the tasks that rows may have targets for."""
    return rows.features["targets"]
