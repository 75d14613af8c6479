"""What a model and its graph answer to the same batches.

Letters of the shapes: B texts, L tokens, C outputs of a task, D size of an embedding, S second texts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..modeling.decoding import cosines
from ..modeling.inference import evaluating
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.onnx_graph import SENTENCE_EMBEDDING, Arrays, OnnxGraph, logits_name
from ..modeling.task import Task

NOT_INPUTS = ("labels", "row_ids")
"""What a batch has beside the inputs of `MultiTaskModel.forward`."""


def torch_outputs(model: MultiTaskModel, tasks: Sequence[Task], batch: Mapping[str, Any]) -> Arrays:
    """By their names in the graph, the embedding (B, D) and each task's logits, (B, C) or (B, L, C).

    A similarity's logits are cosines, NaN where a text has no partner.

    Args:
        model: The model.
        tasks: The tasks to answer.
        batch: What [`MultiTaskModel.forward`] takes, with labels or without.
    """
    with evaluating(model):
        output: Any = model(**{name: value for name, value in batch.items() if name not in NOT_INPUTS})
    found = {SENTENCE_EMBEDDING: output.sentence_embedding} | {logits_name(t): output.logits[t.name] for t in tasks}
    return {name: tensor.numpy() for name, tensor in found.items()}


def graph_outputs(graph: OnnxGraph, tasks: Sequence[Task], batch: Mapping[str, Any]) -> Arrays:
    """The same by the graph, which gives the embeddings whose cosines a similarity is."""
    names = [SENTENCE_EMBEDDING, *(logits_name(task) for task in tasks if task.has_head)]
    found = graph.run(batch, names)
    similarities = [logits_name(task) for task in tasks if not task.has_head]
    if not similarities:
        return found
    embedding_BD = found[SENTENCE_EMBEDDING]
    cosines_B1 = np.full((len(embedding_BD), 1), np.nan, dtype=np.float32)
    if "pair_input_ids" in batch:
        pairs = {name: batch[f"pair_{name}"] for name in ("input_ids", "attention_mask")}
        second_SD = graph.run(pairs, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
        rows_S = np.asarray(batch["pair_rows"])
        cosines_B1[rows_S] = cosines(embedding_BD[rows_S], second_SD)
    return found | dict.fromkeys(similarities, cosines_B1)
