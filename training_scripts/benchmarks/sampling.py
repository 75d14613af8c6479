"""Variants measured in turn, so that what drifts in the machine meets all of them alike."""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import switches
from .contention import Contention, CpuTimes, await_idle
from .variant import Reading, Samples, Skip, Variant


@dataclass(frozen=True)
class Method:
    """How samples are taken.

    Args:
        rounds: Samples to keep of each variant.
        retries: Further tries for a sample that others disturbed.
        patience: Seconds to wait, before each sample, until nobody else computes.
        is_trial: Whether the first run of each variant is all there is: to see that it works, not how fast.
        is_warm: Whether each variant is run once before anything counts.
        clock: Reads the time when all work given to the device is done.
    """

    rounds: int = 5
    retries: int = 3
    patience: float = 20.0
    is_trial: bool = False
    is_warm: bool = True
    clock: Callable[[], float] = time.perf_counter


def interleaved(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Round by round each name once, in the opposite order of the round before: A B, B A, A B, ..."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            yield number, name


def measure(variants: Sequence[Variant], method: Method) -> tuple[dict[str, Samples], dict[str, str]]:
    """Samples of every variant, by name, and of those that cannot be measured, why.

    Every variant is run once before anything counts, unless the method says otherwise. A sample that others disturbed
    is taken again, up to `method.retries` times. A variant that breaks is measured no more, and ends nothing: it may be
    a peer, in the midst of hours of measuring.
    """
    found: dict[str, Samples] = {}
    skipped: dict[str, str] = {}
    by_name = {variant.name: variant for variant in variants}
    for name, variant in by_name.items():
        with _skipping(name, skipped):
            reading = warm_up(variant, method) if method.is_warm or method.is_trial else None
            found[name] = Samples({0: reading} if method.is_trial and reading else {})
    # `Trainer.train()` begins with a collection of garbage, which looks at all that every peer has imported, half a
    # second of it. A user has one of them, and one `train()` for thousands of steps.
    gc.collect()
    gc.freeze()
    try:
        for number, name in interleaved(list(found), 0 if method.is_trial else method.rounds):
            if name not in skipped:
                with _skipping(name, skipped):
                    _take_round(by_name[name], method, found[name], number)
    finally:
        gc.unfreeze()
    return {name: samples for name, samples in found.items() if name not in skipped}, skipped


@contextmanager
def _skipping(name: str, skipped: dict[str, str]) -> Iterator[None]:
    """Write into `skipped` why a variant cannot be measured, where it cannot."""
    try:
        yield
    except Skip as reason:
        skipped[name] = str(reason)
    except Exception as error:
        skipped[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if name in skipped:
        print(f"  skipped: {name}: {skipped[name]}", file=sys.stderr)


def _take_round(variant: Variant, method: Method, samples: Samples, number: int) -> None:
    """Samples of one variant until others leave one alone, or the tries are used up."""
    for _ in range(method.retries + 1):
        await_idle(method.patience)
        reading, contention = take(variant, method, samples)
        if contention is None or not contention.spoils:
            samples.kept[number] = reading
            return
        samples.spoiled.append(reading)


def warm_up(variant: Variant, method: Method) -> Reading:
    """Run a variant once, and learn its facts."""
    before = switches.read()
    try:
        state = variant.prepare()
        reading = _timed(variant, state, method)
        if variant.inspect:
            variant.facts |= variant.inspect(state)
    finally:
        switches.restore(before)
    return reading


def _timed(variant: Variant, state: Any, method: Method) -> Reading:
    start = method.clock()
    reading = {**(variant.run(state) or {})}
    reading.setdefault("cost", method.clock() - start)
    return reading


def take(variant: Variant, method: Method, samples: Samples) -> tuple[Reading, Contention | None]:
    """One sample, and what others did meanwhile; `None` where the system does not count that."""
    before_all = switches.read()
    gc.collect()
    try:
        state = variant.prepare()
        before = CpuTimes.now()
        reading = _timed(variant, state, method)
        after = CpuTimes.now()
    finally:
        samples.left_changed |= set(switches.restore(before_all))
    return reading, contention_between(before, after)


def contention_between(before: CpuTimes | None, after: CpuTimes | None) -> Contention | None:
    """What others did from one moment to a later one; `None` where the system does not count that."""
    return Contention.between(before, after) if before and after else None
