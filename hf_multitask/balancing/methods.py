"""The ways of balancing tasks, by name."""

from collections.abc import Sequence
from importlib.util import find_spec

from . import weightings
from .dwa import DynamicWeightAverage
from .famo import Famo
from .gradnorm import GradNorm
from .gramian_method import GramianMethod
from .method import GradientMethod, LossMethod
from .uncertainty import Uncertainty

LOSS_METHODS = ("uncertainty", "dwa", "famo")
"""Weigh the tasks' losses."""
WEIGHTINGS = {
    "pcgrad": weightings.pcgrad,
    "mgda": weightings.mgda,
    "cagrad": weightings.cagrad,
    "upgrad": weightings.upgrad,
    "nashmtl": weightings.nashmtl,
    "imtl_g": weightings.imtl_g,
}
"""Weigh the tasks' gradients by their inner products."""
GRADIENT_METHODS = ("gradnorm", *WEIGHTINGS)
"""Weigh the tasks' gradients."""
KEEP_SHARES = ("pcgrad", "upgrad")
"""Of these, those by which a gradient ten times as long counts ten times: they take from it what hurts others, and are
given gradients with the tasks' weights in. All others undo a weight that is in, and are given none: it comes behind."""
METHODS = ("sum", *LOSS_METHODS, *GRADIENT_METHODS)
"""All; `sum` is none."""
NEEDS = {
    "pcgrad": ("torchjd",),
    "imtl_g": ("torchjd",),
    "mgda": ("qpsolvers", "quadprog"),
    "upgrad": ("torchjd", "qpsolvers", "quadprog"),
}
"""Packages of the extra `balancing` that a method needs."""


def loss_method(name: str, names: Sequence[str], learning_rate: float) -> LossMethod:
    """The method called `name`, one of `LOSS_METHODS`, for these tasks; `learning_rate` is that of what it learns."""
    if name == "uncertainty":
        return Uncertainty(names, learning_rate)
    return DynamicWeightAverage(names) if name == "dwa" else Famo(names)


def gradient_method(name: str, names: Sequence[str], seed: int) -> GradientMethod:
    """The method called `name`, one of `GRADIENT_METHODS`, for these tasks.

    Raises:
        ImportError: A package it needs is not installed.
    """
    missing = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
    if missing:
        raise ImportError(
            f"balancing={name!r} needs the packages {', '.join(NEEDS[name])}, found no {', '.join(missing)}. "
            "Run `pip install 'hf_multitask[balancing]'`."
        )
    return GradNorm(names) if name == "gradnorm" else GramianMethod(WEIGHTINGS[name], seed)
