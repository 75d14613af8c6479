"""Models to export, and their graphs."""

from typing import Any

import numpy as np
import torch
from architectures import tiny_model
from conftest import make_tokenizer, tiny_bert
from records import TASKS

from hf_multitask import MultiTaskCollator, MultiTaskModel
from hf_multitask.modeling.onnx_graph import SENTENCE_EMBEDDING, logits_name

NO_SEGMENTS = ("input_ids", "attention_mask")

KINDS = [task for task in TASKS if task.has_head]
"""A task of every kind that has a head."""


def every_kind() -> MultiTaskModel:
    """A model with a task of every kind, whose answers differ from text to text; it reads 32 tokens."""
    torch.manual_seed(0)
    return with_tokenizer(tiny_bert(tasks=TASKS, initializer_range=0.5))


def tiny(model_type: str, pooling: str = "mean") -> MultiTaskModel:
    """A tiny model of an architecture, with two layers."""
    model = tiny_model(model_type, tasks=KINDS, num_hidden_layers=2)
    model.config.pooling = pooling
    return with_tokenizer(model, names=NO_SEGMENTS)


def with_tokenizer(model: MultiTaskModel, names: tuple[str, ...] = ()) -> MultiTaskModel:
    """The model, with a tokenizer that reads 32 tokens and gives the tensors in `names`."""
    model.tokenizer = make_tokenizer()
    model.tokenizer.model_max_length = 32
    if names:
        model.tokenizer.model_input_names = list(names)
    return model


def labelled_batches(model: MultiTaskModel, count: int = 24) -> list[dict[str, Any]]:
    """Batches of three rows of 1 to 9 tokens, half of them with a second text, with random targets for every task."""
    rng = np.random.default_rng(0)
    collate = MultiTaskCollator(model.tokenizer, model.config.tasks)
    rows = []
    for index in range(count):
        ids, second = (rng.integers(4, 22, size=rng.integers(1, 10)).tolist() for _ in range(2))
        targets: dict[str, Any] = {}
        for task in model.config.tasks:
            if task.reads_tokens:
                targets[task.name] = rng.integers(task.num_labels, size=len(ids)).tolist()
            elif task.is_choice:
                targets[task.name] = int(rng.integers(task.num_labels))
            elif task.problem_type == "multi_label_classification":
                targets[task.name] = rng.integers(2, size=task.num_labels).tolist()
            elif task.has_head or index % 2:
                targets[task.name] = rng.random(task.num_labels).tolist()
            else:
                targets[task.name] = None
        row = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}
        rows.append(row | {"targets": targets} | ({"pair_input_ids": second} if index % 2 else {}))
    return [collate(rows[start : start + 3]) for start in range(0, count, 3)]


def torch_arrays(model: MultiTaskModel, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the model answers, by the graph's names, computed here and not by what is tested."""
    with torch.no_grad():
        output = model(**batch)
    found = {SENTENCE_EMBEDDING: output.sentence_embedding}
    found |= {logits_name(task): output.logits[task.name] for task in model.config.tasks if task.has_head}
    return {name: tensor.numpy() for name, tensor in found.items()}
