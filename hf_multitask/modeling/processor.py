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
        bf16: Whether it multiplies bfloat16 by itself, and torch lets it, by oneDNN.
        serial_dropout: Whether torch draws the masks of dropout one number after the other, see
            [`hf_multitask.modeling.dropout`].
    """

    idle_units: bool = False
    bf16: bool = False
    serial_dropout: bool = True


@lru_cache
def processor() -> Processor:
    """What torch tells of it, and the defaults where it does not: `torch.cpu.get_capabilities` came late."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    has_mkl, has_onednn = torch.backends.mkl.is_available(), torch.backends.mkldnn.is_available()
    return from_capabilities(tell() if tell else {}, has_mkl, has_onednn)


def from_capabilities(found: Mapping[str, Any], has_mkl: bool, has_onednn: bool) -> Processor:
    """What matters of `torch.cpu.get_capabilities`.

    Args:
        found: Its answer.
        has_mkl: Whether torch was built with MKL, which is Intel's.
        has_onednn: Whether with oneDNN, which the builds for Macs are not.
    """
    has_avx512 = all(found.get(f"avx512_{part}", False) for part in ("f", "bw", "vl", "dq"))  # as oneDNN asks
    name = str(found.get("cpu_name", "")).lower()
    is_intel = "intel" in name
    return Processor(
        idle_units=has_avx512 and has_mkl and has_onednn and bool(name) and not is_intel,
        bf16=has_onednn and any(found.get(f"{unit}bf16", False) for unit in ("avx512_", "amx_", "")),
        serial_dropout=not (is_intel and has_mkl),
    )
