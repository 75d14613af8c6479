"""Ways to turn texts into embeddings, or answers: ours and the peers'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import numpy as np
import torch

from . import graphs
from .environment import need_bf16
from .variant import Skip
from .workload import Workload

TASKS = graphs.TASKS

EXPORTED, ONNXRUNTIME, OPENVINO = "ours, exported, onnxruntime", "onnxruntime", "openvino"

FROM_GRAPH = (OPENVINO, ONNXRUNTIME, EXPORTED)
"""Those that read our exported graph."""

Encode = graphs.Encode


@dataclass(frozen=True)
class Encoder:
    """One way.

    Args:
        build: Loads it; from texts to embeddings (N, D), or to a list of answers.
        precision: "fp32" or "bf16".
        ours: Whether it is ours.
    """

    build: Callable[[], Encode]
    precision: str = "fp32"
    ours: bool = False


def encoders(workload: Workload) -> dict[str, Encoder]:
    """By name, the ways there are. Each is loaded once, when it is built."""
    found = {
        "ours, encode, no means of speed": Encoder(lambda: _ours(workload, None), ours=True),
        "ours, encode, exact": Encoder(lambda: _ours(workload, "exact"), ours=True),
        "ours, encode, auto": Encoder(lambda: _ours(workload, "auto"), "bf16", ours=True),
        "ours, pipeline of 8 tasks, exact": Encoder(lambda: _pipeline(workload, TASKS, "exact"), ours=True),
        "ours, pipeline of 8 tasks, auto": Encoder(lambda: _pipeline(workload, TASKS, "auto"), "bf16", ours=True),
        "ours, pipeline of 1 task, exact": Encoder(lambda: _pipeline(workload, 1, "exact"), ours=True),
        "ours, pipeline of 8 tasks, no means of speed": Encoder(lambda: _pipeline(workload, TASKS, None), ours=True),
        "ours, pipeline of 1 task, no means of speed": Encoder(lambda: _pipeline(workload, 1, None), ours=True),
        EXPORTED: Encoder(lambda: graphs.exported(workload), ours=True),
        "sentence-transformers": Encoder(lambda: _sentence_transformer(workload, torch.float32)),
        "sentence-transformers, bf16": Encoder(lambda: _sentence_transformer(workload, torch.bfloat16), "bf16"),
        ONNXRUNTIME: Encoder(lambda: graphs.onnxruntime(workload)),
        OPENVINO: Encoder(lambda: graphs.openvino(workload)),
    }
    return {name: Encoder(cache(way.build), way.precision, way.ours) for name, way in found.items()}


def reference(workload: Workload, texts: Sequence[str]) -> Any:
    """The embeddings that torch gives in float32, as it is shipped."""
    return _ours(workload, None)(texts)


def cosines(found: Any, exact: Any) -> dict[str, float]:
    """The least and the mean cosine of the embeddings to the exact ones."""
    found, exact = (np.asarray(vectors, np.float64) for vectors in (found, exact))
    values = (found * exact).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    return {"cosine, least": float(values.min()), "cosine, mean": float(values.mean())}


def _ours(workload: Workload, performance: str | None) -> Encode:
    _need_bf16_for(workload, performance)
    model = graphs.model(workload, 1)
    how = _performance(model.encode, performance)
    return lambda texts: model.encode(texts, batch_size=workload.batch_size, **how)


def _pipeline(workload: Workload, num_tasks: int, performance: str | None) -> Encode:
    _need_bf16_for(workload, performance)
    from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

    how = _performance(MultiTaskPipeline.__init__, performance)
    pipe = MultiTaskPipeline(graphs.model(workload, num_tasks), batch_size=workload.batch_size, **how)
    return lambda texts: pipe(list(texts))


def _need_bf16_for(workload: Workload, performance: str | None) -> None:
    """`auto` without bfloat16 is `exact`, which has a row of its own."""
    if performance == "auto":
        need_bf16(workload.device)


def _performance(function: Any, performance: str | None) -> dict[str, str]:
    """The argument `performance`; for `None` none of its means, or no argument where there is none."""
    if "performance" in signature(function).parameters:
        return {"performance": performance or "off"}
    if performance is not None:
        raise Skip("this version of hf_multitask has no argument performance")
    return {}


def _sentence_transformer(workload: Workload, dtype: torch.dtype) -> Encode:
    if dtype == torch.bfloat16:
        need_bf16(workload.device)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise Skip("sentence-transformers is not installed") from error
    model = SentenceTransformer(workload.backbone, device=workload.device, model_kwargs={"dtype": dtype})
    model.max_seq_length = workload.max_length
    return lambda texts: model.encode(list(texts), batch_size=workload.batch_size, show_progress_bar=False)
