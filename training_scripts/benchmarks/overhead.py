"""What a Trainer adds to a step over a bare loop that does the same arithmetic.

The encoder has as many tensors as the real one but is narrow, and batches are small: the overhead does not depend on
either, and beside steps of a second it could not be seen. For the same reason the two take turns step by step: what
else the machine does meets both. They also take turns in who reads a batch first, for whom libraries choose or make
kernels where it has a new number of tokens.
"""

import copy
import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

from transformers import AutoModel, AutoModelForSequenceClassification, TrainerCallback

from . import bare_loop, ours, stock
from .sampling import Method, measure
from .table import Bar, Table
from .variant import Reading, Variant
from .workload import Workload

TASKS = 2
BATCH = 4
STEPS = 200
NARROW = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}

STOCK = "transformers' Trainer"

PLAIN = "no means of speed"

BARE = "a bare loop"

BARS = [Bar("for one step", name, BARE, 2, 0.5, "overhead") for name in ("ours", f"ours, {PLAIN}", STOCK)]


def overhead(workload: Workload) -> Table:
    """The table."""
    narrow = dataclasses.replace(_narrow(workload), batch_size=BATCH)
    steps = workload.steps(STEPS)
    texts = workload.some(BATCH * steps)
    rows, stock_rows = ours.data(workload, texts, TASKS), stock.data(workload, texts)

    def make_ours(**arguments: Any) -> Any:
        return ours.trainer(narrow, rows, TASKS, steps, **arguments)

    def in_turns(name: str, make: Callable[[], Any]) -> Variant:
        return Variant(name, _added, lambda: (make(), Turns(make(), workload.method, steps)), ours=name != STOCK)

    variants = [
        in_turns("ours", make_ours),
        in_turns(f"ours, {PLAIN}", lambda: make_ours(**ours.plain())),
        in_turns(STOCK, lambda: stock.trainer(narrow, stock_rows, steps)),
    ]
    samples, skipped = measure(variants, workload.method)
    return Table(
        "overhead",
        "Overhead of a Trainer",
        "ms/step",
        variants,
        samples,
        skipped,
        BARS,
        narrow.conditions(texts, training=True) | {"width of the encoder": NARROW["hidden_size"], "steps": steps},
        scale=1000,
        notes=[
            "Each step of a Trainer has one of a bare loop beside it, on another model of the same make, which reads "
            "the same batches, computes as its Trainer does, packed or not, and has the same optimizer, schedule and "
            "clipping. Every other batch is read by the loop first. A sample is the difference of the medians over all "
            "steps but the first, of first and of second readers each, on average. `ours` has the default arguments."
        ],
    )


class Turns(TrainerCallback):
    """Lets a bare loop take a step beside each of a Trainer's, every other one before it, and times both.

    Args:
        trainer: Another Trainer, whose place the bare loop takes.
        method: Has the clock.
        steps: Of each.
    """

    def __init__(self, trainer: Any, method: Method, steps: int) -> None:
        self._loop = bare_loop.in_place_of(trainer, method).each(steps)
        self._clock = method.clock
        self._steps = steps
        self._taken, self._left = 0, 0.0
        self.seconds: dict[str, list[float]] = {"trainer": [], "bare": []}
        """Of all steps but the first; every other one read its batch first."""

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Take the step on the Trainer's batch, if it was not taken before, and the one on its next."""
        came = self._clock()
        if self._taken:
            self.seconds["trainer"].append(came - self._left)
        if self._taken % 2 == 0:
            for step in range(self._taken, min(self._taken + 2, self._steps)):
                start = self._clock()
                next(self._loop)
                if step:
                    self.seconds["bare"].append(self._clock() - start)
        self._taken += 1
        self._left = self._clock()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Put back what the bare loop computes with."""
        self._loop.close()

    def typical(self) -> tuple[float, float]:
        """Seconds of a Trainer's step and of one of the loop's: medians of second and of first readers, on average."""
        return _over_orders(self.seconds["trainer"]), _over_orders(self.seconds["bare"])


def _over_orders(seconds: list[float]) -> float:
    return statistics.fmean(map(statistics.median, (seconds[::2], seconds[1::2])))


def _added(made: tuple[Any, Turns]) -> Reading:
    trainer, turns = made
    trainer.add_callback(turns)
    trainer.train()
    step, bare = turns.typical()
    return {"cost": step - bare, "step of the bare loop, ms": 1000 * bare}


def _narrow(workload: Workload) -> Workload:
    """The same workload on an encoder of the same depth, narrow, with random weights."""
    config = copy.deepcopy(workload.config)
    for name, value in NARROW.items():
        setattr(config, name, value)
    folder = str(workload.scratch / "narrow")
    AutoModel.from_config(config).save_pretrained(folder)
    AutoModelForSequenceClassification.from_config(config)  # fails here, and not in the midst of things
    workload.tokenizer.save_pretrained(folder)
    return dataclasses.replace(workload, backbone=folder)
