"""From a model to a folder that serves it by onnxruntime, checked before it is there."""

import copy
import dataclasses
import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.dynamic_module_utils import custom_object_save

from ..evaluation.registry import primary_of
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.onnx_graph import GRAPH_FILE, WEIGHTS_FILE, OnnxGraph
from ..modeling.onnx_multitask import OnnxMultiTask
from ..modeling.task import choose_tasks
from .graph import export_graph
from .int8 import narrowing_layers, quantize_int8
from .record import Comparison, ExportRecord
from .scores import SCORE_TOLERANCE, worsening
from .staging import check_free, staged
from .trial import Trial, check_deviation

logger = logging.getLogger(__name__)

RECORD_FILE = "onnx_export.json"
"""What is known of the graph: how it agrees with its model, scores, sizes, versions."""

QUANTIZATIONS = ("int8",)
"""What weights may become."""

TRACEABLE = ("sdpa", "eager")
"""Implementations of attention that torch can trace; both become the same operations of a graph."""

OF_THE_MODEL = ("model_type", "auto_map", "custom_pipelines", "architectures")
"""What the model's configuration says of classes that are not in the folder."""


def export_onnx(
    model: MultiTaskModel,
    folder: Path,
    *,
    tasks: Iterable[str] | None = None,
    quantize: str | None = None,
    validation: Sequence[Mapping[str, Any]] = (),
) -> ExportRecord:
    """Write a graph of the model, and all that [`OnnxMultiTask`] needs to serve it, into a new folder.

    The graph computes in float32, whatever the model's own type. It is run by onnxruntime on texts of many shapes, and
    on the validation rows if there are any; where it differs from the model by more than rounding, nothing is written.
    A graph in int8 is made from a checked one. Where it worsens the score of a task more than it may, the layers that
    lose most are left in float32; where that is not enough, a warning and the record name the task.

    Args:
        model: The model, which is left as it is; it knows its tokenizer.
        folder: Where to write; absent or empty.
        tasks: Names of the tasks to answer; all by default.
        quantize: "int8", or `None` for float32.
        validation: Batches of labelled rows, as [`MultiTaskCollator`] makes them.

    Returns:
        What is known of the graph, which is in the folder too.

    Raises:
        ValueError: The folder holds files, an argument cannot be, the model knows no tokenizer, torch cannot trace the
            backbone, or the graph does not agree.
        OSError: Nothing can be written there.
    """
    chosen = model.config.tasks if tasks is None else choose_tasks(model.config.tasks, tasks)
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise ValueError(f"quantize must be one of {list(QUANTIZATIONS)} or None, found {quantize!r}. Use 'int8'.")
    check_free(folder)
    tokenizer = model.tokenizer
    source = _in_float32(model)
    trial = Trial(source, chosen, validation)
    with staged(folder) as stage:
        path = stage / GRAPH_FILE
        export_graph(source, chosen, path)
        graph = OnnxGraph(str(path))
        record = ExportRecord(
            inputs=graph.inputs,
            outputs=graph.outputs,
            validation_rows=sum(len(batch["input_ids"]) for batch in validation),
            metrics={task.name: primary_of(task).name for task in chosen if task.name in trial.scores},
            scores=trial.scores,
            float32=trial.compare(path),
        )
        check_deviation(record.float32)
        if quantize is not None:
            record = _quantized(trial, path, record)
        config = {key: value for key, value in model.config.to_dict().items() if key not in OF_THE_MODEL}
        _write_json(stage / "config.json", config | {"tasks": [task.describe() for task in chosen]})
        _write_json(stage / RECORD_FILE, record.describe())
        tokenizer.save_pretrained(stage)
        custom_object_save(OnnxMultiTask, stage)
    return record


def _in_float32(model: MultiTaskModel) -> MultiTaskModel:
    """A copy of the model on the CPU, in evaluation mode, with an attention that can be traced."""
    source = copy.deepcopy(model)
    source.to(device="cpu", dtype=torch.float32)  # type: ignore[call-arg]  # transformers' wrapper has no types
    source.eval()
    if source.config.text_config._attn_implementation not in TRACEABLE:
        source.set_attn_implementation(TRACEABLE[0])
    return source


def _quantized(trial: Trial, path: Path, record: ExportRecord) -> ExportRecord:
    """Put a graph in int8 in the place of the one in float32 at `path`; of two ways, the one that costs less score."""
    candidates: list[tuple[float, Path, Comparison]] = []
    for number, in_float in enumerate(((), narrowing_layers(path))):
        folder = path.with_name(f"int8_{number}")  # of its own: the file of the weights has always the same name
        folder.mkdir()
        quantize_int8(path, folder / GRAPH_FILE, in_float)
        comparison = trial.compare(folder / GRAPH_FILE, in_float)
        worst = max(_worsenings(trial, comparison).values(), default=0.0)
        candidates.append((worst, folder, comparison))
        if worst <= 1:
            break
    _, best, comparison = min(candidates, key=lambda candidate: candidate[0])
    for _, folder, _ in candidates:
        if folder == best:
            path.with_name(WEIGHTS_FILE).unlink(missing_ok=True)
            for file in folder.iterdir():
                file.replace(path.with_name(file.name))
        shutil.rmtree(folder)
    hurt = tuple(name for name, worse in _worsenings(trial, comparison).items() if worse > 1)
    for name in hurt:
        logger.warning(
            "Task %r: int8 takes its %s from %.4f to %.4f, more than the %.2f that it may. Export it in float32",
            *(name, record.metrics[name], trial.scores[name], comparison.scores[name], SCORE_TOLERANCE),
        )
    if not trial.scores:
        logger.warning("The scores of the tasks in int8 were not checked: no validation data were given")
    return dataclasses.replace(record, int8=comparison, hurt=hurt)


def _worsenings(trial: Trial, comparison: Comparison) -> dict[str, float]:
    """By task that was scored, how much of what its score may lose int8 uses up."""
    tasks = [task for task in trial.tasks if task.name in trial.scores]
    return {task.name: worsening(task, trial.scores[task.name], comparison.scores[task.name]) for task in tasks}


def _write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
