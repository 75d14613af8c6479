"""From a graph in float32 to one with weights of 8 bits."""

import logging
from collections.abc import Iterable
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from ..modeling.onnx_graph import WEIGHTS_FILE
from .graph import HEADS


def quantize_int8(source: Path, target: Path, in_float: Iterable[str] = ()) -> None:
    """Write the graph in `source` with int8 weights; what they are multiplied with is quantised while it runs.

    That has one scale for all texts of a batch, so that an answer depends a little on the texts beside it.

    Each column of a weight has a scale of its own: with one scale for all, the embeddings of MiniLM-L6 have a cosine of
    0.96 to those in float32, with one for each 0.991. Weights use 7 of the 8 bits, so that the sums of processors
    without VNNI instructions cannot overflow, and a graph that was checked on one processor holds on all; that costs
    0.001 of the cosine. Tables of embeddings are quantised too, heads are not.

    Args:
        source: The graph in float32.
        target: The file to write.
        in_float: Names of further nodes to leave as they are.
    """
    model = onnx.load(source)
    del model.graph.value_info[:]  # shapes of weights, which onnxruntime 1.23 transposes and then finds wrong
    heads = [node.name for node in model.graph.node if node.name.startswith(HEADS)]
    heads += [f"{name}_MatMul" for name in heads]  # what the quantiser makes of a Gemm before it looks at names
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends, on the root logger, a pre-processing that the exporter has done
    try:
        quantize_dynamic(
            model,
            target,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*heads, *in_float],
            use_external_data_format=source.with_name(WEIGHTS_FILE).exists(),
        )
    finally:
        root.setLevel(level)


def narrowing_layers(path: Path) -> list[str]:
    """Names of the nodes that lose most by quantisation: linear layers with more inputs than outputs.

    In a transformer these are the second ones of the feed-forward blocks. What they read has passed an activation
    function and has a few values far above all others, so that steps of one 255th of the range are coarse for the rest.
    """
    graph = onnx.load(path, load_external_data=False).graph
    shapes = {weight.name: list(weight.dims) for weight in graph.initializer}
    layers = [(node.name, shapes.get(node.input[1], [])) for node in graph.node if node.op_type == "MatMul"]
    return [
        name
        for name, shape in layers
        if len(shape) == 2 and shape[0] > shape[1] and not name.startswith(HEADS)  # those are never quantised
    ]
