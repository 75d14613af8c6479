"""Training throughput on a GPU, in real tokens a second, of steps with some 16k real tokens.

Small steps measure how fast Python starts kernels. So a batch has as many sentences as make `TOKENS`, whatever
`--batch_size` says, and steps are counted after `WARM` ones, in which compilers work and memory is taken.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from hf_multitask.training.compiled import compiled_layers

from . import ours, stock
from .sampling import Method
from .table import Bar, Table
from .training import TASKS
from .variant import Reading, Variant
from .workload import Workload

TOKENS = 16384
WARM, STEPS = 8, 32
"""The peer's long batches come first in every `WARM` of them: what is counted is all of three such rounds."""

WARM_SMALL, STEPS_SMALL = stock.MEGA_BATCH, 3 * stock.MEGA_BATCH

AUTO = "ours, auto"
GROUPED, SMALL = "stock, grouped, bf16", "stock, grouped, bf16, batch 32"

BARS = [Bar("one pass, bf16, against batches of as many tokens", AUTO, GROUPED, 1.5, 2)]


def gpu(workload: Workload) -> Table:
    """The table.

    Raises:
        SystemExit: There is no GPU.
    """
    if workload.device != "cuda":
        raise SystemExit("The benchmark gpu must have --device cuda, found cpu. Leave it out.")
    lengths = workload.lengths(workload.texts)
    size = round(TOKENS * len(lengths) / sum(lengths))
    wide = dataclasses.replace(workload, batch_size=size)
    texts = [workload.texts[n % len(workload.texts)] for n in range(size * STEPS)]
    rows, stock_rows = ours.data(wide, texts, TASKS), stock.data(wide, texts)

    def mine(name: str, compiled: bool = False, **arguments: Any) -> Variant:
        def prepare() -> Any:
            return _late(ours.trainer(wide, rows, TASKS, STEPS, bf16=True, **arguments), wide, WARM, STEPS)

        return _variant(name, prepare, amount, compiled, ours=True)

    def peer(name: str, load: Workload, warm: int, steps: int, amount: float) -> Variant:
        def prepare() -> Any:
            made: Any = stock.trainer(load, stock_rows, steps, bf16=True, **stock.GROUPED)
            made.mega_batch = warm
            return _late(made, load, warm, steps)

        return _variant(name, prepare, amount)

    mean = sum(lengths) / len(lengths)
    amount = mean * size * (STEPS - WARM)
    small = dataclasses.replace(workload, batch_size=32)
    variants = [
        mine("ours, padded", packing="off", **stock.GROUPED),
        mine("ours, packed", **stock.GROUPED),
        mine(AUTO, performance="auto", **stock.GROUPED),
        mine("ours, packed, compiled", compiled=True, **stock.GROUPED),
        mine("ours, packed, compiled, batches of random lengths", compiled=True),
        peer(GROUPED, wide, WARM, STEPS, amount),
        peer(SMALL, small, WARM_SMALL, STEPS_SMALL, mean * 32 * (STEPS_SMALL - WARM_SMALL)),
    ]
    samples, skipped = wide.measure(variants, texts, training=True)
    return Table(
        "gpu",
        "Training on a GPU",
        "real tokens/s",
        variants,
        samples,
        skipped,
        BARS,
        wide.conditions(texts, training=True) | {"tasks of ours": TASKS, "steps": f"{WARM + 1} to {STEPS}"},
    )


def _variant(
    name: str, prepare: Callable[[], Any], amount: float, compiled: bool = False, ours: bool = False
) -> Variant:
    def run(made: Any) -> Reading:
        with compiled_layers(made.model, compiled):
            made.train()
        return {"cost": made.late.seconds}

    return Variant(name, run, prepare, amount, tokens=amount, precision="bf16", ours=ours)


class _Late(TrainerCallback):
    """The time between the ends of two steps; nothing waits in between.

    Args:
        method: Has the clock.
        warm: The first of the steps.
        steps: The second.
    """

    def __init__(self, method: Method, warm: int, steps: int) -> None:
        self._clock, self._warm, self._steps = method.clock, warm, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the clock at the two steps."""
        if state.global_step == self._warm:
            self._begin = self._clock()
        if state.global_step == self._steps:
            self.seconds = self._clock() - self._begin


def _late(made: Any, load: Workload, warm: int, steps: int) -> Any:
    made.remove_callback(type(made.stopwatch))
    made.late = _Late(load.method, warm, steps)
    made.add_callback(made.late)
    return made
