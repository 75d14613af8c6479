"""How much of the machine other processes took while something was measured."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
"""Where Linux counts what its CPUs have done."""

MOST_OTHERS = 0.12
"""Cores that others may use during a sample that is kept."""

MOST_STOLEN = 0.1
"""Cores that the host of a virtual machine may take during a sample that is kept."""


@dataclass(frozen=True)
class CpuTimes:
    """What the clocks show at one moment, in seconds since some moment of the past.

    Args:
        wall: Time.
        busy: CPU time of all processes, over all cores.
        stolen: CPU time that the host gave to others.
        own: CPU time of this process and of its children that have ended.
    """

    wall: float
    busy: float
    stolen: float
    own: float

    @classmethod
    def now(cls, stat: Path = STAT) -> "CpuTimes | None":
        """The clocks as they are; `None` where the system does not count."""
        try:
            first = stat.read_text(encoding="ascii").splitlines()[0].split()
        except OSError:
            return None
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, softirq, steal = (int(value) / tick for value in first[1:9])
        return cls(time.perf_counter(), user + nice + system + irq + softirq, steal, sum(os.times()[:4]))


@dataclass(frozen=True)
class Contention:
    """What others took, each a mean number of cores.

    Args:
        others: By other processes.
        stolen: By the host.
    """

    others: float
    stolen: float

    @classmethod
    def between(cls, before: CpuTimes, after: CpuTimes, cores: int = 0) -> "Contention":
        """From one moment to a later one.

        The system counts in ticks: each core's last tick may be anybody's, and is not held against the sample.

        Args:
            before: The clocks then.
            after: The clocks now.
            cores: Cores of the machine; by default those of this one.
        """
        wall = max(after.wall - before.wall, 1e-9)
        ticks = (cores or os.cpu_count() or 1) / os.sysconf("SC_CLK_TCK")
        others = after.busy - before.busy - (after.own - before.own)
        stolen = after.stolen - before.stolen
        return cls(max(others - ticks, 0.0) / wall, max(stolen - ticks, 0.0) / wall)

    @property
    def spoils(self) -> bool:
        """Whether a sample with so much of it is thrown away."""
        return self.others > MOST_OTHERS or self.stolen > MOST_STOLEN


def await_idle(patience: float, glance: float = 0.3) -> bool:
    """Wait until nobody else computes; whether that came within `patience` seconds."""
    end = time.perf_counter() + patience
    while True:
        before = CpuTimes.now()
        if before is None:
            return True
        time.sleep(glance)
        after = CpuTimes.now()
        if after is None or not Contention.between(before, after).spoils:
            return True
        if time.perf_counter() > end:
            return False
