"""What is known of an exported graph, as plain values."""

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from .deviation import Deviation

PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
"""Packages on whose versions a graph depends."""


@dataclass(frozen=True)
class Comparison:
    """A graph, held against its model.

    Args:
        size: Bytes of the graph and its weights.
        random_texts: By output, how far the two differ on random texts.
        validation: By output, how far they differ on the validation rows, if there were any.
        scores: By task, the graph's primary metric on the validation rows.
        in_float: Names of nodes that were not quantised, beside the heads.
    """

    size: int
    random_texts: dict[str, Deviation]
    validation: dict[str, Deviation] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    in_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportRecord:
    """An export.

    Args:
        inputs: What the graph reads.
        outputs: What it answers.
        validation_rows: How many rows it was scored on.
        metrics: By task that was scored, the name of its primary metric.
        scores: By task, the model's primary metric on the validation rows.
        float32: The graph in float32.
        int8: The quantised graph, if that is what was asked for.
        hurt: Tasks whose primary metric int8 worsens more than it may.
    """

    inputs: list[str]
    outputs: list[str]
    validation_rows: int
    metrics: dict[str, str]
    scores: dict[str, float]
    float32: Comparison
    int8: Comparison | None = None
    hurt: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The record as values for JSON, with the versions of the packages that were used."""
        return asdict(self) | {"versions": {name: version(name) for name in PACKAGES}}
