"""What this machine's processor has, which decides in what order and how exactly products are summed.

What changes a number is chosen by this and never by the clock: a processor that does something else beside would
otherwise give other digits, and a run that goes on would not be the run that was stopped.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch


class Processor(NamedTuple):
    """What matters here.

    Args:
        idle_units: Whether it has AVX-512 units that MKL, of which torch's float32 products are, leaves idle, and
            oneDNN does not.
        bf16: Whether it multiplies bfloat16 by itself.
    """

    idle_units: bool = False
    bf16: bool = False


@lru_cache
def processor() -> Processor:
    """What torch tells of it, and nothing where torch does not: `torch.cpu.get_capabilities` came late."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    return from_capabilities(tell() if tell else {})


def from_capabilities(found: Mapping[str, Any]) -> Processor:
    """What matters of `torch.cpu.get_capabilities`.

    Args:
        found: Its answer.
    """
    has_avx512 = all(found.get(f"avx512_{part}", False) for part in ("f", "bw", "vl", "dq"))  # as oneDNN asks
    is_intel = "intel" in str(found.get("cpu_name", "")).lower()
    return Processor(has_avx512 and not is_intel, any(found.get(f"{unit}bf16") for unit in ("avx512_", "amx_", "")))
