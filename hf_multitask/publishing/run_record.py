"""What is worth telling about a finished run, as plain values."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets
import torch
import transformers

from ..modeling.configuration_multitask import Task

METRICS = {"accuracy": "Accuracy", "f1_macro": "Macro F1", "matthews_correlation": "Matthews correlation"}
"""Metric keys of a classification, and how they are written."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, about to start (without results and samples) or finished.

    Args:
        name: The model's name.
        base_model: The backbone's Hub id, or the name of its folder.
        pooling: How token embeddings became the sentence embedding.
        max_length: Tokens per text, at most.
        tasks: The tasks.
        label_counts: Per split and task, how many rows had each label.
        sizes: Per dataset and split, the number of rows.
        sources: Per dataset, where its rows came from.
        groups: Per parameter group, its name, number of parameters, learning rate and weight decay.
        arguments: The training arguments worth telling.
        results: Per split (train, eval, test), its metrics under their full keys, such as `test_topic_accuracy`.
        samples: Texts or pairs with, per task, the probability of each label.
    """

    name: str
    base_model: str
    pooling: str
    max_length: int
    tasks: Sequence[Task]
    label_counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    sizes: Mapping[str, Mapping[str, int]]
    sources: Mapping[str, str]
    groups: Sequence[tuple[str, int, float, float]]
    arguments: Mapping[str, Any]
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    samples: Sequence[tuple[tuple[str, ...], Mapping[str, Mapping[str, float]]]] = ()

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what the run stood on."""
        return {
            "Python": platform.python_version(),
            "PyTorch": torch.__version__,
            "Transformers": transformers.__version__,
            "Datasets": datasets.__version__,
        }

    def scores(self, split: str) -> list[tuple[Task, dict[str, float]]]:
        """Per task that was scored on `split`, its metrics by their short keys."""
        metrics = self.results.get(split, {})
        found = []
        for task in self.tasks:
            prefix = f"{split}_{task.name}_"
            scores = {key: metrics[prefix + key] for key in (*METRICS, "loss") if prefix + key in metrics}
            if scores:
                found.append((task, scores))
        return found
