"""Training throughput on a GPU, in real tokens a second, of steps with some 16k and 32k real tokens.

Small steps measure how fast Python starts kernels. So a batch has as many sentences as make so many tokens, whatever
`--batch_size` says, and steps are counted after some in which compilers work and memory is taken.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import TrainerCallback

from hf_multitask.training.compiled import compiled_layers

from . import ours, stock
from .sampling import Method
from .table import Bar, Table
from .training import TASKS
from .variant import Reading, Variant
from .workload import Workload

TOKENS = (16384, 32768)
WARM, STEPS = 8, 32
"""The peer's long batches come first in every `WARM` of them: what counts is all of three such rounds, of rows drawn by
chance, which have as many tokens as the mean has it."""

SMALL = "stock, grouped, batch 32"
WARM_SMALL, STEPS_SMALL = stock.MEGA_BATCH, 2 * stock.MEGA_BATCH


def gpu(workload: Workload) -> Table:
    """The table."""
    lengths = workload.lengths(workload.texts)
    mean = sum(lengths) / len(lengths)
    loads = [dataclasses.replace(workload, batch_size=round(tokens / mean)) for tokens in TOKENS]
    texts = [workload.texts[n % len(workload.texts)] for n in range(loads[-1].batch_size * STEPS)]
    rows, stock_rows = ours.data(workload, texts, TASKS), stock.data(workload, texts)

    def mine(name: str, load: Workload, compiled: bool = False, **arguments: Any) -> Variant:
        def prepare() -> Any:
            made = ours.trainer(load, rows, TASKS, STEPS, bf16=True, **stock.GROUPED, **arguments)
            return _late(made, load, WARM, STEPS)

        made = _variant(name, prepare, mean * load.batch_size * (STEPS - WARM), compiled, ours=True)
        made.inspect = lambda trainer: _count(made, trainer)
        return made

    def peer(name: str, load: Workload, warm: int = WARM, steps: int = STEPS) -> Variant:
        def prepare() -> Any:
            made: Any = stock.trainer(load, stock_rows, steps, bf16=True, **stock.GROUPED)
            made.mega_batch = warm
            return _late(made, load, warm, steps)

        return _variant(name, prepare, mean * load.batch_size * (steps - warm))

    (first, at), (second, twice) = zip(loads, (f"{tokens // 1024}k" for tokens in TOKENS), strict=True)
    variants = [
        mine(f"ours, padded, {at}", first, packing="off"),
        mine(f"ours, {at}", first),
        mine(f"ours, layers compiled, {at}", first, compiled=True),
        peer(f"stock, grouped, {at}", first),
        mine(f"ours, layers compiled, {twice}", second, compiled=True),
        peer(f"stock, grouped, {twice}", second),
        peer(SMALL, dataclasses.replace(workload, batch_size=32), WARM_SMALL, STEPS_SMALL),
    ]
    bars = [
        Bar(name, name, f"stock, grouped, {tokens}", 1.5, 2)
        for name, tokens in ((f"ours, {at}", at), *((f"ours, layers compiled, {n}", n) for n in (at, twice)))
    ]
    samples, skipped = workload.measure(variants, texts, training=True)
    conditions = workload.conditions(texts, training=True) | {"batch": [load.batch_size for load in loads]}
    conditions |= {"real tokens per step": list(TOKENS), "tasks of ours": TASKS, "steps": f"{WARM + 1} to {STEPS}"}
    notes = ["All in bfloat16 by autocast, on length-grouped batches."]
    return Table(
        "gpu",
        "Training on a GPU",
        "real tokens/s",
        variants,
        samples,
        skipped,
        bars,
        conditions,
        same_work=False,
        notes=notes,
    )


def _variant(
    name: str, prepare: Callable[[], Any], amount: float, compiled: bool = False, ours: bool = False
) -> Variant:
    def run(made: Any) -> Reading:
        with compiled_layers(made.model, compiled):
            made.train()
        return {"cost": made.late.seconds}

    return Variant(name, run, prepare, amount, tokens=amount, precision="bf16", ours=ours)


def _count(variant: Variant, trainer: Any) -> Reading:
    """Note the real tokens of the steps that count: long and short batches of ours come in no order."""
    rows = np.concatenate(trainer._order.effective_batches()[WARM:STEPS])
    variant.amount = variant.tokens = float(trainer.train_dataset.tokens[rows].sum())
    return {}


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
