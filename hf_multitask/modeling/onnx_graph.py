"""An exported graph, run by onnxruntime: tensors in, named outputs out.

Letters of the shapes: B texts, L tokens, D size of an embedding, C outputs of a task.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .task import Task

try:
    import onnxruntime
except ImportError as error:
    raise ImportError(
        "An exported model is run by the package onnxruntime, found none. Install it: pip install onnxruntime."
    ) from error

GRAPH_FILE = "model.onnx"
"""The graph with its weights."""

WEIGHTS_FILE = "model.onnx.data"
"""Where the weights are of a graph of more than 2 GB, which is the most that one file can be."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a graph may read, each (B, L) int64; all read the first two."""

SENTENCE_EMBEDDING = "sentence_embedding"
"""Name of the output (B, D) that every graph has."""

Arrays = dict[str, NDArray[Any]]


def logits_name(task: Task) -> str:
    """Name of the output with a task's logits, (B, C), or (B, L, C) where words have labels."""
    return f"logits_{task.name}"


class OnnxGraph:
    """A graph that [`export_onnx`] wrote.

    Args:
        path: Its file.
        providers: What runs it, in order of preference; onnxruntime's name for the CPU by default.
        session_options: An `onnxruntime.SessionOptions`, to set the number of threads, for instance.
    """

    def __init__(self, path: str, providers: Sequence[Any] | None = None, session_options: Any = None) -> None:
        self._arguments = (os.path.abspath(path), providers, session_options)
        self._session: Any = onnxruntime.InferenceSession(
            path, session_options, providers=list(providers or ("CPUExecutionProvider",))
        )
        self.inputs: list[str] = [found.name for found in self._session.get_inputs()]
        self.outputs: list[str] = [found.name for found in self._session.get_outputs()]
        shapes = {found.name: found.shape for found in self._session.get_outputs()}
        self.hidden_size: int = shapes[SENTENCE_EMBEDDING][-1]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments  # a session cannot be copied; it is made again from the file

    def run(self, tensors: Mapping[str, Any], outputs: Sequence[str]) -> Arrays:
        """The named outputs for a batch; no more is computed than they need.

        Args:
            tensors: `input_ids`, `attention_mask` and maybe `token_type_ids`, (B, L) each. A text by itself is all of
                one segment: `token_type_ids` are 0 where they are not given.
            outputs: Names of outputs.
        """
        given = {name: np.asarray(tensors[name], dtype=np.int64) for name in self.inputs if name in tensors}
        absent = {name: np.zeros_like(given["input_ids"]) for name in self.inputs if name not in given}
        found = self._session.run(list(outputs), given | absent)
        return dict(zip(outputs, found, strict=True))
