"""Inference throughput, with tokenisation, in real tokens a second."""

from collections.abc import Sequence
from typing import Any

from .encoders import Encode, Encoder, cosines, encoders, reference
from .table import Bar, Table
from .variant import Variant
from .workload import Workload

EXACT, AUTO = "ours, encode, exact", "ours, encode, auto"
PEER = "sentence-transformers"

BARS = [
    Bar("fp32", EXACT, PEER, 1.8, 2.5),
    Bar("fp32, no export", EXACT, "onnxruntime", 1.1, 1.3),
    Bar("fp32, no export", EXACT, "openvino", 0.9, 1.0),
    Bar("bf16 where native, cosine >= 0.9999", AUTO, PEER, 3.2, 4.5),
    Bar("8 tasks against 1", "ours, pipeline of 8 tasks, exact", "ours, pipeline of 1 task, exact", 1.03, 1.0, "cost"),
]


def texts_of(workload: Workload) -> Sequence[str]:
    """What is read in a sample."""
    return workload.texts[: 32 * workload.scale]


def variants(workload: Workload) -> list[Variant]:
    """All ways to read the same texts."""
    texts = texts_of(workload)
    tokens = sum(workload.lengths(texts))
    exact: list[Any] = []

    def distance(encode: Encode) -> dict[str, float]:
        found = encode(texts)
        if isinstance(found, list):  # answers
            return {}
        if not exact:
            exact.append(reference(workload, texts))
        return cosines(found, exact[0])

    def variant(name: str, way: Encoder) -> Variant:
        made = Variant(name, lambda encode: _read(encode, texts), way.build, amount=tokens, tokens=tokens)
        made.precision, made.ours, made.inspect = way.precision, way.ours, distance
        return made

    return [variant(name, way) for name, way in encoders(workload).items()]


def inference(workload: Workload) -> Table:
    """The table."""
    texts = texts_of(workload)
    measured = variants(workload)
    samples, skipped = workload.measure(measured, texts, training=False)
    for variant in measured:
        if variant.name in samples:
            variant.facts["sentences/s"] = len(texts) / samples[variant.name].median()
    conditions = workload.conditions(texts, training=False)
    notes = ["Cosines are to what torch gives in fp32 as shipped. Every way sorts the texts by length."]
    return Table(
        "inference", "Inference throughput", "real tokens/s", measured, samples, skipped, BARS, conditions, notes=notes
    )


def _read(encode: Encode, texts: Sequence[str]) -> None:
    encode(texts)
