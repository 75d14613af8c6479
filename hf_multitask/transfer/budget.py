"""How many examples of each task the shared model sees, and how another run sees as many.

Letters of the shapes: N rows of all datasets.
"""

import copy
import itertools
import math
from collections.abc import Collection, Iterator

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..data.mapping import has_target, with_targets
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
        self._mixture, self._args = mixture, args
        per_epoch = math.ceil(len(train_batches(mixture, args)) / args.gradient_accumulation_steps)
        self.steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * per_epoch)
        self._drawn: dict[int, dict[str, NDArray[np.int64]]] = {}

    def check(self, task: str) -> None:
        """Raise unless a model of the task alone can see as many examples of it as the shared one.

        Raises:
            ValueError: The shared run sees none, or there are too few for a batch.
        """
        drawn = [name for name, count in self.examples([task]).items() if count]
        if not drawn:
            raise ValueError(
                f"Every task that is compared must be trained on, found no examples of {task!r} in the shared run. "
                "Train for longer, or raise the share of its datasets."
            )
        args = self._args
        known = sum(int(has_target(self._mixture.datasets[name], [task]).sum()) for name in drawn)
        full = args.per_device_train_batch_size * args.gradient_accumulation_steps
        if args.dataloader_drop_last and args.max_tokens_per_batch is None and known < full:
            raise ValueError(
                f"There must be a full batch of {full} rows of every task where the last, short one is dropped, found "
                f"{known} rows with a target for {task!r}. Pass dataloader_drop_last=False, or a smaller batch."
            )

    def examples(self, tasks: Collection[str], steps: int | None = None) -> dict[str, int]:
        """Per dataset, how many rows with a target for one of the `tasks` are drawn, each as often as it is.

        Args:
            tasks: Names of tasks.
            steps: In so many steps from the first; by default in all.
        """
        drawn = self._draws(self.steps if steps is None else steps)
        return {name: int(drawn[name][has_target(rows, tasks)].sum()) for name, rows in self._mixture.datasets.items()}

    def rows(self, tasks: Collection[str]) -> Mixture:
        """The rows with a target for one of the `tasks`, without other targets, drawn from each dataset as often.

        The shared run must see some; see `check`.
        """
        drawn = {name: count for name, count in self.examples(tasks).items() if count}
        datasets = {name: rows_of(self._mixture.datasets[name], tasks, name) for name in drawn}
        settings = MixingSettings()
        if self._mixture.settings.strategy != settings.strategy:
            settings = MixingSettings(strategy="weights", weights={name: float(n) for name, n in drawn.items()})
        return Mixture(datasets, settings)

    def steps_for(self, rows: Mixture, examples: int) -> int:
        """The steps on `rows` that see most nearly so many examples, at least one."""
        args = copy.copy(self._args)
        args.max_steps, args.num_train_epochs = -1, math.ceil(examples / len(rows))
        seen = [0]
        for batch in effective_batches(rows, args):
            seen.append(seen[-1] + len(batch))
            if seen[-1] >= examples:
                break
        return max(1, int(np.abs(np.array(seen) - examples).argmin()))

    def _draws(self, steps: int) -> dict[str, NDArray[np.int64]]:
        """Per dataset, how often each row is drawn in so many steps."""
        if steps not in self._drawn:
            seen_N = np.zeros(len(self._mixture), dtype=np.int64)
            for batch in itertools.islice(effective_batches(self._mixture, self._args), steps):
                np.add.at(seen_N, batch, 1)  # a small dataset's row may be in a batch twice
            ends = np.cumsum([len(rows) for rows in self._mixture.datasets.values()])
            self._drawn[steps] = dict(zip(self._mixture.datasets, np.split(seen_N, ends[:-1]), strict=True))
        return self._drawn[steps]


def effective_batches(rows: Mixture, args: MultiTaskTrainingArguments) -> Iterator[NDArray[np.int64]]:
    """The rows of each batch that a run takes, of one epoch after another without an end."""
    order = train_batches(rows, args)
    for epoch in itertools.count():
        order.set_epoch(epoch)
        yield from order.effective_batches()


def rows_seen(rows: Mixture, args: MultiTaskTrainingArguments, steps: int) -> int:
    """How many rows a run sees in so many steps, each as often as it does."""
    return sum(map(len, itertools.islice(effective_batches(rows, args), steps)))


def rows_of(rows: Dataset, tasks: Collection[str], name: str) -> Dataset:
    """The rows with a target for one of the `tasks`, without other targets."""
    targets = rows.features["targets"]
    known = [task for task in targets if task in tasks]
    return rows if len(known) == len(targets) and has_target(rows, known).all() else with_targets(rows, known, name)
