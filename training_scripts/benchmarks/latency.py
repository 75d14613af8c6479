"""How long a single text takes, from string to embedding or answers."""

from collections.abc import Sequence

import numpy as np

from .encoders import Encode, encoders
from .sampling import Method, measure
from .table import Table
from .variant import Reading, Variant
from .workload import Workload


def latency(workload: Workload) -> Table:
    """The table; one sample is the median and the 99th percentile of many requests, one after another."""
    texts = workload.texts[: 25 * workload.scale]
    variants = [
        Variant(
            name,
            lambda encode: _ask(encode, texts, workload.method),
            way.build,
            precision=way.precision,
            ours=way.ours,
        )
        for name, way in encoders(workload).items()
    ]
    samples, skipped = measure(variants, workload.method)
    conditions = workload.conditions(texts, training=False) | {"batch": 1}
    return Table(
        "latency", "Latency of one text, median", "ms", variants, samples, skipped, conditions=conditions, scale=1000
    )


def _ask(encode: Encode, texts: Sequence[str], method: Method) -> Reading:
    seconds = []
    for text in texts:
        start = method.clock()
        encode([text])
        seconds.append(method.clock() - start)
    return {"cost": float(np.median(seconds)), "p99, ms": 1000 * float(np.quantile(seconds, 0.99))}
