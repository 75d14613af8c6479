"""Ways to run our exported graph: ours, and bare runtimes."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import ours
from .sorted_texts import in_sorted_batches
from .variant import Skip
from .workload import Workload

TASKS = 8

Encode = Callable[[Sequence[str]], Any]


def model(workload: Workload, num_tasks: int) -> Any:
    """A model that reads as many tokens as the peers."""
    made = ours.model(workload, num_tasks).eval()
    made.tokenizer.model_max_length = workload.max_length
    return made


def graph(workload: Workload) -> Path:
    """The folder with our exported graph of `TASKS` tasks, which is made once.

    Raises:
        Skip: It is not measured on this device, or cannot be made.
    """
    if workload.device != "cpu":
        raise Skip("measured on the CPU only")
    return workload.exported or _export(workload.backbone, workload.scratch, workload.max_length)


@cache
def _export(backbone: str, scratch: Path, max_length: int) -> Path:
    try:
        from hf_multitask.exporting.onnx_export import export_onnx
    except ImportError as error:
        raise Skip(f"no graph to read: {error}") from error
    made = model(Workload([], backbone, scratch), TASKS)
    made.tokenizer.model_max_length = max_length
    export_onnx(made, scratch / "onnx")
    return scratch / "onnx"


def exported(workload: Workload) -> Encode:
    """Our own class around onnxruntime."""
    from hf_multitask import OnnxMultiTask

    served = OnnxMultiTask.from_pretrained(str(graph(workload)))
    return lambda texts: served.encode(list(texts), batch_size=workload.batch_size)


def onnxruntime(workload: Workload) -> Encode:
    """The bare onnxruntime, in a loop by hand."""
    path = graph(workload) / "model.onnx"
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = {given.name for given in session.get_inputs()}

    def embed(batch: dict[str, Any]) -> Any:
        return session.run(["sentence_embedding"], {name: batch[name] for name in names})[0]

    return in_sorted_batches(workload, embed)


def openvino(workload: Workload) -> Encode:
    """OpenVINO in float32, in a loop by hand."""
    try:
        from openvino import Core
    except ImportError as error:
        raise Skip("openvino is not installed") from error
    path = graph(workload) / "model.onnx"
    # It sees one core of this process otherwise, where another library has bound its threads.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = Core().compile_model(str(path), "CPU", hints)
    names = {given.get_any_name() for given in compiled.inputs}
    output = compiled.output("sentence_embedding")
    request = compiled.create_infer_request()

    def embed(batch: dict[str, Any]) -> Any:
        return np.array(request.infer({name: batch[name] for name in names})[output])

    return in_sorted_batches(workload, embed)
