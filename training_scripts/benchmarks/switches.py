"""Settings of torch that hold for the whole process, which one variant must not leave to the next."""

from typing import Any

import torch


def _precisions() -> dict[str, Any]:
    """By name, what has the setting `fp32_precision`, as far as this torch has it."""
    places = {
        "mkldnn": getattr(torch.backends, "mkldnn", None),
        "cuda": getattr(torch.backends, "cuda", None),
    }
    found = {name: getattr(backend, "matmul", None) for name, backend in places.items()}
    return {name: matmul for name, matmul in found.items() if hasattr(matmul, "fp32_precision")}


def read() -> dict[str, Any]:
    """How the settings are."""
    precisions = {f"{name}.matmul.fp32_precision": matmul.fp32_precision for name, matmul in _precisions().items()}
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    } | precisions


def restore(found: dict[str, Any]) -> list[str]:
    """Set what differs from `found` back to it; the names of what differed."""
    differ = [name for name, value in read().items() if found[name] != value]
    if "threads" in differ:
        torch.set_num_threads(found["threads"])
    if "dtype" in differ:
        torch.set_default_dtype(found["dtype"])
    if "deterministic" in differ:
        torch.use_deterministic_algorithms(found["deterministic"])
    for name, matmul in _precisions().items():
        if f"{name}.matmul.fp32_precision" in differ:
            matmul.fp32_precision = found[f"{name}.matmul.fp32_precision"]
    return differ
