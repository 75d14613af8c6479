"""How fast the machine multiplies matrices: what no encoder can be faster than."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .environment import need_bf16
from .sampling import measure
from .table import Table
from .variant import Skip, Variant
from .workload import Workload

SQUARE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of matrices that are large enough that only the multiplication counts."""

MOST_ERROR = 1e-5
"""Relative error up to which a product counts as one in float32."""


def floor(workload: Workload) -> Table:
    """The table; the rates also become the ceilings that other tables tell their share of."""
    rows, inner = workload.batch_size * 24, workload.config.hidden_size
    square = 3 * (SQUARE[workload.device],)
    # DistilBERT, GPT-2 and others call it otherwise, and mean four times the width.
    shapes = {
        "square": square,
        "of the encoder": (rows, inner, getattr(workload.config, "intermediate_size", 4 * inner)),
    }
    variants = [
        Variant(
            f"{how}, {name}",
            run,
            partial(_operands, workload, how, shape),
            amount=2e-9 * shape[0] * shape[1] * shape[2] * _repeats(workload, shape),
            precision="bf16" if how == "bf16" else "fp32",
        )
        for name, shape in shapes.items()
        for how in ("fp32 as shipped", "fp32 through oneDNN", "bf16")
    ]
    samples, skipped = measure(variants, workload.method)
    for variant in variants:
        if variant.name in samples:
            rate = 1e9 * variant.amount / samples[variant.name].median()
            workload.ceilings[variant.precision] = max(rate, workload.ceilings.get(variant.precision, 0.0))
    return Table(
        "floor",
        "Matrix products",
        "GFLOP/s",
        variants,
        samples,
        skipped,
        conditions={
            "square": square,
            "of the encoder": shapes["of the encoder"],
            "device": workload.device,
            "rounds": workload.rounds,
        },
        notes=["The greatest rate of each precision is the ceiling in the other tables."],
    )


def run(state: tuple[Tensor, Tensor, int, bool]) -> None:
    """Multiply, again and again."""
    left, right, repeats, through_onednn = state
    with allowed_to_round() if through_onednn else nullcontext():
        for _ in range(repeats):
            left @ right


@contextmanager
def allowed_to_round() -> Iterator[None]:
    """Products in float32 may be rounded to bfloat16, which leads them to oneDNN; whether it rounds is up to it."""
    matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # not in its stub
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _repeats(workload: Workload, shape: tuple[int, int, int]) -> int:
    """Enough for a fifth of a second, or a 25th of that, at 100 GFLOP/s."""
    work = (2e10 if workload.device == "cpu" else 1e13) / (25 if workload.quick else 1)
    return max(1, int(work / (2 * shape[0] * shape[1] * shape[2])))


def _operands(workload: Workload, how: str, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, int, bool]:
    if how == "bf16":
        need_bf16(workload.device)
    through_onednn = how == "fp32 through oneDNN"
    if through_onednn:
        check_onednn(workload.device)
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if how == "bf16" else torch.float32
    left = torch.randn(shape[0], shape[1], generator=generator).to(workload.device, dtype)
    right = torch.randn(shape[1], shape[2], generator=generator).to(workload.device, dtype)
    return left, right, _repeats(workload, shape), through_onednn


def check_onednn(device: str) -> None:
    """Raise [`Skip`] unless a permission to round to bfloat16 leads to oneDNN, which then does not round."""
    matmul = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    if device != "cpu" or not hasattr(matmul, "fp32_precision"):
        raise Skip("this device, or this torch, does not route products to oneDNN")
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    with allowed_to_round():
        error = ((left @ right).double() - exact).norm() / exact.norm()
    if error > MOST_ERROR:
        raise Skip(f"oneDNN rounds to bfloat16 here: relative error {float(error):.1e}")
