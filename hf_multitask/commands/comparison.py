"""A run's model against models of single tasks, where the configuration asks for it."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from ..modeling.task import Task
from ..publishing.transfer_record import TransferRecord
from ..training.adapters import add_lora
from ..transfer.report import compare_single_task
from .compared_split import compared_split
from .run import Run
from .starting_model import load_start


def compare(run: Run) -> TransferRecord:
    """What the tasks of a run that has ended gained or lost by sharing its model.

    Raises:
        ValueError: A model cannot be trained as the shared one was.
        FloatingPointError: A loss of one is not finite.
        RuntimeError: There is too little memory for one.
        OSError: What was done cannot be written.
    """
    settings, tasks = run.settings, run.data.tasks

    def new_model(wanted: Sequence[Task]) -> Any:
        model = load_start(run.start, tasks)  # of all tasks, so that each head starts from the values it had
        names = [task.name for task in wanted]
        for task in tasks:
            if task.name not in names:
                model.remove_task(task.name)
        model.config.tasks = list(wanted)
        return model if settings.lora is None else add_lora(model, settings.lora)

    split = compared_split(run.evaluated)
    with _quiet():
        return compare_single_task(
            run.trainer,
            new_model,
            run.evaluated[split],
            seeds=settings.compare_seeds,
            pairs=settings.compare_pairs,
            split=split,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what every run would say again: it was said of the shared one."""
    talkative = logging.getLogger("hf_multitask")
    level, bars = talkative.level, (are_progress_bars_disabled(), is_progress_bar_enabled())
    talkative.setLevel(logging.WARNING)
    disable_progress_bars()
    disable_progress_bar()
    try:
        yield
    finally:
        talkative.setLevel(level)
        if not bars[0]:
            enable_progress_bars()
        if bars[1]:
            enable_progress_bar()
