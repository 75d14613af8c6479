"""From a model to one graph.

Letters of the shapes: B texts, L tokens.
"""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.onnx_graph import INPUTS, SENTENCE_EMBEDDING, logits_name
from ..modeling.task import Task

HEADS = "heads/"
"""What the names of the heads' nodes begin with."""


def graph_inputs(model: MultiTaskModel) -> list[str]:
    """Those of `INPUTS` that the graph reads: token ids, their mask and, where both the tokenizer and the backbone
    have them, the segments of pairs.
    """
    parameters = inspect.signature(model.backbone.forward).parameters
    has_segments = "token_type_ids" in parameters and "token_type_ids" in model.tokenizer.model_input_names
    return [name for name in INPUTS if name != "token_type_ids" or has_segments]


def export_graph(model: MultiTaskModel, tasks: Sequence[Task], path: Path) -> None:
    """Write the graph of a model on the CPU, in float32 and in evaluation mode.

    Its inputs are [`graph_inputs`], its outputs the sentence embedding and the logits of each task with a head; the
    numbers of texts and of tokens may be any. What the exporter notes of the source code, paths among it, is left out.

    Args:
        model: The model.
        tasks: The tasks to answer.
        path: The file to write; weights of more than 2 GB get a second one beside it.

    Raises:
        ValueError: torch cannot trace the backbone.
    """
    inputs = graph_inputs(model)
    traced = _Traced(model, [task.name for task in tasks if task.has_head])
    # Sizes other than 0 and 1, which torch takes for fixed; and each tensor by itself, or one is taken for the others.
    example = tuple(torch.ones(2, 7, dtype=torch.int64) for _ in inputs)
    shape = {0: "batch", 1: "length"}
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                traced,
                example,
                dynamo=True,
                verbose=False,
                input_names=inputs,
                output_names=[SENTENCE_EMBEDDING, *(logits_name(task) for task in tasks if task.has_head)],
                dynamic_shapes=tuple(shape for _ in inputs),
            )
    except OnnxExporterError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(
            f"The backbone must be one that torch.onnx.export can trace, found {model.config.text_config.model_type!r}"
            f", with which it fails: {cause} Use the model by its pipeline."
        ) from error
    for node in program.model.graph:
        if "'model.heads." in node.metadata_props.get("pkg.torch.onnx.name_scopes", ""):
            node.name = HEADS + node.name
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path)


class _Traced(nn.Module):
    """A model whose inputs and outputs stand in a row, as a graph has them."""

    def __init__(self, model: MultiTaskModel, tasks: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.tasks = list(tasks)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return output.sentence_embedding, *(output.logits[task] for task in self.tasks)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells of its own work: notes, warnings and, where it fails, the whole program."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
