"""How long a computation takes, to choose between two that come to the same."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

GAIN = 1.1
"""How many times faster a way must be to be chosen: below that it is noise. Of ways with equal results only."""

REPEATS = 10
"""How often each way is timed at most; the least counts."""

BUDGET = 0.1
"""Seconds after which a way is timed no more: a processor without bfloat16 takes long for it."""


def timed(compute: Callable[[], Result]) -> tuple[Result, float]:
    """The result, and the least seconds it took: what else runs on the machine only adds to them."""
    begin = time.perf_counter()
    seconds: list[float] = []
    result = compute()  # the first call also prepares
    while len(seconds) < 2 or (len(seconds) < REPEATS and time.perf_counter() - begin < BUDGET):
        start = time.perf_counter()
        result = compute()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)
