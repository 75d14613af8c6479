"""What it costs to watch, or to settle, the conflicts of tasks: the time of a step over that of the plain sum.

What a method adds to a step is the same for any batch, or grows as the step does, so that a smaller batch never makes
its share smaller. Batches are half of those asked for; a quarter for the monitor, which must be seen for as many steps
as lie between two of its looks. A sample has four steps, of which three count. So five rounds of all variants take some
twelve minutes on two cores.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from . import bare_loop, ours
from .sampling import measure
from .table import Bar, Table
from .tasks import step
from .variant import Skip, Variant
from .workload import Workload

OF_LOSSES = ("uncertainty", "dwa", "famo")
OF_GRADIENTS = ("gradnorm", "pcgrad", "mgda", "cagrad", "upgrad", "nashmtl", "imtl_g")
COUNTS = (2, 4, 8)
FEWEST = 2
"""Tasks of what costs the same for more of them, or is only there to compare."""
EVERY = (10, 50)
"""Steps from one look of the monitor to the next."""


def balancing(workload: Workload) -> Table:
    """The table."""
    steps = workload.steps(4)
    halved = dataclasses.replace(workload, batch_size=max(1, workload.batch_size // 2))
    texts = halved.some(halved.batch_size * steps)
    variants: list[Variant] = []
    bars: list[Bar] = []
    for count in COUNTS[: 1 if workload.quick else None]:
        plain = f"sum, {count} tasks"
        variants.append(step(halved, texts, plain, count, steps, balancing="sum"))
        for method in OF_GRADIENTS + (OF_LOSSES if count == FEWEST else ()):
            name = f"{method}, {count} tasks"
            variants.append(step(halved, texts, name, count, steps, balancing=method))
            bars.append(Bar(name, name, plain, 1.1, 1.03, "cost"))
    bare, peer = f"bare loop, sum, {FEWEST} tasks", f"torchjd's mtl_backward, upgrad, {FEWEST} tasks"
    variants += [_loop(halved, texts, bare, steps), _loop(halved, texts, peer, steps, _torchjd)]
    bars.append(Bar(f"the peer, torchjd over all parameters, {FEWEST} tasks", peer, bare, 1.1, 1.03, "cost"))
    _watch(workload, variants, bars)
    samples, skipped = measure(variants, workload.method)
    return Table(
        "balancing",
        "Balancing of tasks",
        "ms/step",
        variants,
        samples,
        skipped,
        bars,
        halved.conditions(texts, training=True),
        scale=1000,
        same_work=False,
        notes=[
            "The first step is not counted. Batches are half of `--batch_size`, a quarter in the rows of the monitor "
            "and of its sum: what is added has no smaller a share in them than in whole ones.",
            "torchjd aggregates the gradients of all parameters of the encoder. The bare loops compute as ours does.",
        ],
    )


def _watch(workload: Workload, variants: list[Variant], bars: list[Bar]) -> None:
    """Add the monitor, over the same steps at every rate of looks."""
    steps = workload.steps(max(EVERY) + 1)  # of the counted ones, each rate watches its share
    quarter = dataclasses.replace(workload, batch_size=max(1, workload.batch_size // 4))
    texts = quarter.some(quarter.batch_size * steps)
    off = f"sum, {FEWEST} tasks, {steps} steps"
    variants.append(step(quarter, texts, off, FEWEST, steps))
    for every in EVERY:
        on = f"monitor every {every} steps, {FEWEST} tasks"
        rate = min(every, steps)
        variants.append(step(quarter, texts, on, FEWEST, steps, conflict_steps=rate))
        bars.append(Bar(on, on, off, 1.02, 1.01, "cost"))


def _loop(workload: Workload, texts: Sequence[str], name: str, steps: int, make_backward: Any = None) -> Variant:
    """A bare loop on our model and our batches."""

    def prepare() -> tuple[bare_loop.BareLoop, Any]:
        loop = bare_loop.in_place_of(
            ours.trainer(workload, ours.data(workload, texts, FEWEST), FEWEST, steps), workload.method
        )
        return loop, make_backward(loop.model) if make_backward else None

    return Variant(name, lambda state: state[0].steady(steps, state[1]), prepare, amount=steps - 1)


def _torchjd(model: Any) -> Any:
    """A backward pass that settles conflicts by UPGrad over all parameters of the encoder.

    Raises:
        Skip: torchjd, or what it solves with, is not installed.
    """
    try:
        from torchjd.aggregation import UPGrad
        from torchjd.autojac import jac_to_grad, mtl_backward

        aggregator = UPGrad()
    except ImportError as error:
        raise Skip(f"torchjd cannot be used: {error}") from error
    shared = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    heads = [list(head.parameters()) for head in model.heads.values()]

    def backward(outputs: Any) -> None:
        losses = list(outputs.losses.values())
        mtl_backward(losses, outputs.sentence_embedding, tasks_params=heads, shared_params=shared)
        jac_to_grad([parameter for parameter in shared if getattr(parameter, "jac", None) is not None], aggregator)

    return backward
