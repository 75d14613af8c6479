"""Training throughput, in real tokens a second and pass through an encoder, of full steps with their data.

An epoch has twenty batches, so that five rounds of all variants take half an hour on two cores. The first step makes
the optimizer's state: of ten steps it would be a twentieth of the time.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset

from hf_multitask.modeling.performance import probe

from . import ours, sentence_trainer, stock, tasknet_trainer
from .environment import need_bf16
from .table import Bar, Table
from .variant import Reading, Variant
from .workload import Workload

TASKS = 2

PLAIN, EXACT, AUTO = "ours, no means of speed", "ours, exact", "ours, auto"
TWO_STOCK = "2 stock models, defaults"
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
    return workload.texts[: workload.batch_size * workload.steps(20)]


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

    def in_bf16(make: Callable[[], Any]) -> Callable[[], Any]:
        def checked() -> Any:
            need_bf16(workload.device)
            return make()

        return checked

    return [
        trained(PLAIN, ours_with(**ours.plain()), ours=True),
        trained("ours, grouped, no means of speed", ours_with(**ours.plain(), **stock.GROUPED), ours=True),
        trained(EXACT, ours_with(performance="exact"), ours=True),
        trained(AUTO, in_bf16(ours_with(performance="auto")), precision="bf16", ours=True),
        trained(TWO_STOCK, stock_with(), passes=TASKS),
        trained(GROUPED, stock_with(**stock.GROUPED)),
        trained(GROUPED_BF16, in_bf16(stock_with(bf16=True, **stock.GROUPED)), precision="bf16"),
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


def probe_seconds(device: str) -> float:
    """How long ours takes to find out how this CPU multiplies fastest: once a process, nothing for a GPU."""
    start = time.perf_counter()
    if device == "cpu":
        probe.__wrapped__(torch.get_num_threads())
    return time.perf_counter() - start


def training(workload: Workload) -> Table:
    """The table."""
    texts = texts_of(workload)
    measured = variants(workload)
    samples, skipped = workload.measure(measured, texts, training=True)
    return Table(
        "training",
        "Training throughput",
        "real tokens/s",
        measured,
        samples,
        skipped,
        BARS,
        workload.conditions(texts, training=True)
        | {"tasks of ours": TASKS, "probe of ours, s": probe_seconds(workload.device)},
        notes=[
            "Tokens are counted once for each pass through an encoder. Bars compare times for the same rows and tasks.",
            "One stock model has the rate of two, in half their time: their rows are trained on one after the other.",
            "Grouped batches of the peers are sorted as in an epoch of thousands of rows: 50 at a time, not a quarter.",
            "Padding is tokens in the batches, before ours packs them, over real ones.",
            "The set-up of `train()` is in all times. Models, Trainers and tokens are made before, and so is, once a "
            "process, the probe that `exact` and `auto` choose by: it is in no time, and its seconds stand above.",
        ],
    )
