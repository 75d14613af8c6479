"""Training throughput, in real tokens a second and pass through an encoder, of full steps with their data."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from . import ours, sentence_trainer, stock, tasknet_trainer
from .environment import native_bf16
from .sampling import measure
from .table import Bar, Table
from .variant import Reading, Skip, Variant
from .workload import Workload

TASKS = 2

EXACT, AUTO = "ours, exact", "ours, auto"
TWO_STOCK, TWO_GROUPED = "2 stock models, defaults", "2 stock models, grouped"
SENTENCES = "sentence-transformers' Trainer"
GROUPED, GROUPED_BF16 = "stock, grouped", "stock, grouped, bf16"

BARS = [
    Bar("2 tasks, fp32-accurate, against a stock model for each", EXACT, TWO_STOCK, 9, 12),
    Bar("2 tasks, bf16 where native, against a stock model for each", AUTO, TWO_STOCK, 14, 18),
    Bar("one pass, fp32-accurate", EXACT, GROUPED, 1.5, 2),
    Bar("one pass, bf16", AUTO, GROUPED_BF16, 1.05, 1.3),
]


def texts_of(workload: Workload) -> Sequence[str]:
    """The sentences of one epoch."""
    return workload.texts[: workload.batch_size * workload.steps(24)]


def variants(workload: Workload) -> list[Variant]:
    """All ways to train on the same rows for one epoch."""
    texts = texts_of(workload)
    tokens = sum(workload.lengths(texts))
    rows, stock_rows = ours.data(workload, texts, TASKS), stock.data(workload, texts)

    def trained(name: str, make: Callable[[], Any], passes: int = 1, **kwargs: Any) -> Variant:
        kwargs |= {"amount": passes * tokens, "tokens": passes * tokens}
        padding = None if name == SENTENCES else lambda made: {"padding": ours.padding(made[0], tokens)}
        return Variant(name, run, lambda: [make() for _ in range(passes)], inspect=padding, **kwargs)

    def ours_with(**arguments: Any) -> Callable[[], Any]:
        return lambda: ours.trainer(workload, rows, TASKS, **arguments)

    def stock_with(**arguments: Any) -> Callable[[], Any]:
        return lambda: stock.trainer(workload, stock_rows, **arguments)

    def in_bf16() -> Any:
        need_bf16(workload)
        return stock.trainer(workload, stock_rows, bf16=True, **stock.GROUPED)

    best = "bf16" if native_bf16(workload.device) else "fp32"
    return [
        trained("ours, no means of speed", ours_with(**ours.plain()), ours=True),
        trained("ours, grouped, no means of speed", ours_with(**ours.plain(), **stock.GROUPED), ours=True),
        trained(EXACT, ours_with(performance="exact"), ours=True),
        trained(AUTO, ours_with(performance="auto"), precision=best, ours=True),
        trained(TWO_STOCK, stock_with(), passes=TASKS),
        trained(TWO_GROUPED, stock_with(**stock.GROUPED), passes=TASKS),
        trained("stock, defaults", stock_with()),
        trained(GROUPED, stock_with(**stock.GROUPED)),
        trained(GROUPED_BF16, in_bf16, precision="bf16"),
        bare(workload, stock_rows, tokens),
        trained(SENTENCES, lambda: sentence_trainer.trainer(workload, texts)),
        tasknet_trainer.variant(workload, texts, tokens, TASKS),
    ]


def run(trainers: list[Any]) -> Reading:
    """Train; how long it took until the first steps."""
    return {"set-up, s": sum(ours.train(made).setup["set-up, s"] for made in trainers)}


def bare(workload: Workload, rows: Dataset, tokens: int) -> Variant:
    """The bare loop."""
    return Variant(
        "bare loop, grouped",
        lambda loop: loop.train(),
        lambda: stock.bare_loop(workload, rows),
        amount=tokens,
        tokens=tokens,
    )


def need_bf16(workload: Workload) -> None:
    """Raise [`Skip`] where bfloat16 is emulated."""
    if not native_bf16(workload.device):
        raise Skip("this device has no native bfloat16")


def training(workload: Workload) -> Table:
    """The table."""
    texts = texts_of(workload)
    measured = variants(workload)
    samples, skipped = measure(measured, workload.method)
    workload.set_shares(measured, samples, workload.flops_per_token(texts, training=True))
    return Table(
        "training",
        "Training throughput",
        "real tokens/s",
        measured,
        samples,
        skipped,
        BARS,
        workload.conditions(texts, training=True) | {"tasks of ours": TASKS},
        notes=[
            "Tokens are counted once for each pass through an encoder. Bars compare times for the same rows and tasks.",
            "Padding is tokens in the batches, before ours packs them, over real ones. Set-up is in all times.",
        ],
    )
