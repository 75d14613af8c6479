"""What it costs to watch, or to settle, the conflicts of tasks: the time of a step over that of the plain sum."""

from collections.abc import Sequence
from typing import Any

from . import ours, stock
from .sampling import measure
from .stopwatch import Stopwatch
from .table import Bar, Table
from .tasks import step
from .variant import Reading, Skip, Variant
from .workload import Workload

METHODS = ("uncertainty", "dwa", "famo", "gradnorm", "pcgrad", "mgda", "cagrad", "upgrad", "nashmtl", "imtl_g")
COUNTS = (2, 4, 8)
EVERY = 50
"""Steps from one look of the monitor to the next."""


def balancing(workload: Workload) -> Table:
    """The table."""
    steps = workload.steps(12)
    texts = workload.texts[: workload.batch_size * steps]
    watched = 3 if workload.quick else 2 * EVERY + 1  # the monitor must look as often as it does in a run
    many = [workload.texts[n % len(workload.texts)] for n in range(workload.batch_size * watched)]
    variants, bars = [], []
    for count in COUNTS[: 1 if workload.quick else None]:
        plain = f"sum, {count} tasks"
        variants.append(step(workload, texts, plain, count, steps, balancing="sum"))
        for method in METHODS:
            name = f"{method}, {count} tasks"
            variants.append(step(workload, texts, name, count, steps, balancing=method))
            bars.append(Bar(f"{method}, {count} tasks", name, plain, 1.1, 1.03, "cost"))
        bare, peer = f"bare loop, sum, {count} tasks", f"torchjd's mtl_backward, upgrad, {count} tasks"
        variants += [_loop(workload, texts, bare, count, steps), _loop(workload, texts, peer, count, steps, _torchjd)]
        bars.append(Bar(f"the peer, {count} tasks", peer, bare, 1.1, 1.03, "cost"))
        off, on = f"sum, {count} tasks, {watched} steps", f"monitor, {count} tasks, {watched} steps"
        variants.append(step(workload, many, off, count, watched))
        variants.append(step(workload, many, on, count, watched, conflict_steps=EVERY))
        bars.append(Bar(f"the monitor every {EVERY} steps, {count} tasks", on, off, 1.02, 1.01, "cost"))
    samples, skipped = measure(variants, workload.method)
    return Table(
        "balancing",
        "Balancing of tasks",
        "ms/step",
        variants,
        samples,
        skipped,
        bars,
        workload.conditions(texts, training=True),
        scale=1000,
        same_work=False,
        notes=["The first step is not counted. torchjd aggregates the gradients of all parameters of the encoder."],
    )


def _loop(
    workload: Workload, texts: Sequence[str], name: str, count: int, steps: int, make_backward: Any = None
) -> Variant:
    """A bare loop on our model and our batches."""

    def prepare() -> tuple[stock.BareLoop, Any]:
        made = ours.trainer(workload, ours.data(workload, texts, count), count, steps)
        loop = stock.BareLoop(made.model, made.get_train_dataloader(), Stopwatch(workload.method))
        return loop, make_backward(made.model) if make_backward else None

    def run(state: tuple[stock.BareLoop, Any]) -> Reading:
        loop, backward = state
        loop.train(steps, backward)
        steady: Reading = loop.stopwatch.steady
        return steady

    return Variant(name, run, prepare, amount=steps - 1)


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
