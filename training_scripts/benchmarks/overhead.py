"""What a Trainer adds to a step over a bare loop that does the same arithmetic.

The encoder has as many tensors as the real one but is narrow: the overhead does not depend on the width, and next to
steps of a fifth of a second it could not be seen.
"""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from transformers import AutoModel, AutoModelForSequenceClassification

from . import bare_loop, ours, stock
from .sampling import measure
from .table import Bar, Table
from .variant import Variant
from .workload import Workload

TASKS = 2
NARROW = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}

STOCK = "transformers' Trainer"

PLAIN = "no means of speed"

BARS = [
    Bar("ours, for one step", "ours", "bare loop on our model", 2, 0.5, "overhead"),
    Bar(f"ours, {PLAIN}, for one step", f"ours, {PLAIN}", f"bare loop on our model, {PLAIN}", 2, 0.5, "overhead"),
    Bar(f"{STOCK}, for one step", STOCK, "bare loop on the stock model", 2, 0.5, "overhead"),
]


def overhead(workload: Workload) -> Table:
    """The table."""
    narrow = _narrow(workload)
    steps = workload.steps(60)
    texts = [workload.texts[n % len(workload.texts)] for n in range(workload.batch_size * steps)]
    rows, stock_rows = ours.data(workload, texts, TASKS), stock.data(workload, texts)

    def make_ours(**arguments: Any) -> Any:
        return ours.trainer(narrow, rows, TASKS, steps, **arguments)

    def make_stock() -> Any:
        return stock.trainer(narrow, stock_rows, steps)

    def looped(name: str, make: Callable[[], Any]) -> Variant:
        return Variant(name, lambda loop: loop.steady(steps), lambda: bare_loop.in_place_of(make(), workload.method))

    plain = ours.plain()
    variants = [
        Variant("ours", ours.steady, make_ours, ours=True),
        looped("bare loop on our model", make_ours),
        Variant(f"ours, {PLAIN}", ours.steady, lambda: make_ours(**plain), ours=True),
        looped(f"bare loop on our model, {PLAIN}", lambda: make_ours(**plain)),
        Variant(STOCK, ours.steady, make_stock),
        looped("bare loop on the stock model", make_stock),
    ]
    for variant in variants:
        variant.amount = steps - 1
    samples, skipped = measure(variants, workload.method)
    return Table(
        "overhead",
        "Overhead of a Trainer",
        "ms/step",
        variants,
        samples,
        skipped,
        BARS,
        workload.conditions(texts, training=True) | {"width of the encoder": NARROW["hidden_size"]},
        scale=1000,
        notes=[
            "A bare loop reads the same batches, computes as its Trainer does, packed or not, and has the same "
            "optimizer, schedule and clipping. `ours` has the default arguments."
        ],
    )


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
