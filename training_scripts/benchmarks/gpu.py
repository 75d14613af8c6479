"""Training throughput on a GPU, in real tokens a second, of steps with some 16k and 32k real tokens.

Small steps measure how fast Python starts kernels. So a batch has as many sentences as make so many tokens, whatever
`--batch_size` says, and steps are counted after some in which compilers work and memory is taken.
"""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback

from hf_multitask.training.compiled import compiled_layers
from hf_multitask.training.graphed import graphed

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

OUR_WARM, OUR_STEPS = 32, 64
"""Ours come in no order, and batches of a new size are recorded when they come for the second time."""

QUICK = "ours, compiled and recorded"
SMALL = "batch 32"
WARM_SMALL, STEPS_SMALL = stock.MEGA_BATCH, 2 * stock.MEGA_BATCH


def gpu(workload: Workload) -> Table:
    """The table."""
    lengths = workload.lengths(workload.texts)
    mean = sum(lengths) / len(lengths)
    loads = [dataclasses.replace(workload, batch_size=round(tokens / mean)) for tokens in TOKENS]

    texts = workload.some(loads[-1].batch_size * STEPS)
    rows = ours.data(workload, workload.some(loads[-1].batch_size * (OUR_STEPS + WARM)), TASKS)
    stock_rows = stock.data(workload, texts)

    def mine(name: str, tokens: int | None, quick: bool, warm: int = OUR_WARM, steps: int = OUR_STEPS) -> Variant:
        load = dataclasses.replace(workload, batch_size=32)

        def prepare() -> Any:
            how = {"bf16": True, "max_tokens_per_batch": tokens, **stock.GROUPED}
            return _late(ours.trainer(load, rows, TASKS, steps, **how), load, warm, steps)

        made = _variant(name, prepare, (tokens or mean * 32) * (steps - warm), quick, ours=True)
        made.inspect = lambda trainer: _count(made, trainer, warm, steps)
        return made

    def peer(name: str, load: Workload, warm: int = WARM, steps: int = STEPS) -> Variant:
        def prepare() -> Any:
            made: Any = stock.trainer(load, stock_rows, steps, bf16=True, **stock.GROUPED)
            made.mega_batch = warm
            return _late(made, load, warm, steps)

        return _variant(name, prepare, mean * load.batch_size * (steps - warm))

    sizes = [f"{tokens // 1024}k" for tokens in TOKENS]
    variants = [mine(f"ours, {sizes[0]}", TOKENS[0], quick=False)]
    for size, tokens, load in zip(sizes, TOKENS, loads, strict=True):
        variants += [mine(f"{QUICK}, {size}", tokens, quick=True), peer(f"stock, grouped, {size}", load)]
    steps = WARM_SMALL, STEPS_SMALL
    variants += [
        mine(f"{QUICK}, {SMALL}", None, True, *steps),
        peer(f"stock, grouped, {SMALL}", dataclasses.replace(workload, batch_size=32), *steps),
    ]
    pairs = [(f"ours, {sizes[0]}", sizes[0]), *((f"{QUICK}, {size}", size) for size in (*sizes, SMALL))]
    bars = [Bar(name, name, f"stock, grouped, {size}", 1.5, 2) for name, size in pairs]
    samples, skipped = workload.measure(variants, texts, training=True)
    conditions = workload.conditions(texts, training=True) | {"batch of the peer": [load.batch_size for load in loads]}
    conditions |= {"real tokens per step": list(TOKENS), "tasks of ours": TASKS}
    conditions |= {"steps": f"{WARM + 1} to {STEPS}", "steps of ours": f"{OUR_WARM + 1} to {OUR_STEPS}"}
    conditions |= {f"steps of {SMALL}": f"{WARM_SMALL + 1} to {STEPS_SMALL}"}
    notes = [
        "All in bfloat16 by autocast, on length-grouped batches; ours of at most so many tokens, those of the peer of "
        "as many sentences as have so many in the mean.",
        f"{QUICK}: as `performance: auto` has it in a long run, here from the first step on.",
    ]
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


def _variant(name: str, prepare: Callable[[], Any], amount: float, quick: bool = False, ours: bool = False) -> Variant:
    def run(made: Any) -> Reading:
        with ExitStack() as stack:
            if quick:
                stack.enter_context(compiled_layers(made.model.backbone))
                stack.enter_context(graphed(made.model))
            made.train()
        return {"cost": made.late.seconds}

    return Variant(name, run, prepare, amount, tokens=amount, precision="bf16", ours=ours)


def _count(variant: Variant, trainer: Any, warm: int, steps: int) -> Reading:
    """Note the real tokens of the steps that count: long and short batches of ours come in no order."""
    variant.amount = variant.tokens = ours.real_tokens(trainer, warm, steps)
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
