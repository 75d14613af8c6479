"""A graph held against its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.onnx_graph import WEIGHTS_FILE, OnnxGraph
from ..modeling.task import Task
from .deviation import Deviation, deviations
from .outputs import graph_outputs, torch_outputs
from .random_texts import random_batches
from .record import Comparison
from .scores import primary_scores


class Trial:
    """What a graph must answer: the model's own outputs, computed once.

    Args:
        model: The model, on the CPU in float32.
        tasks: The tasks to answer.
        validation: Batches of labelled rows.
    """

    def __init__(self, model: MultiTaskModel, tasks: Sequence[Task], validation: Sequence[Mapping[str, Any]]) -> None:
        self.tasks = list(tasks)
        self.batches: list[Mapping[str, Any]] = [*random_batches(model), *validation]
        self.expected = [torch_outputs(model, self.tasks, batch) for batch in self.batches]
        self._num_random = len(self.batches) - len(validation)
        self.scores = self._scores(self.expected)
        """By task that has targets, the model's primary metric on the validation rows."""

    def compare(self, path: Path, in_float: Sequence[str] = ()) -> Comparison:
        """How the graph in the file at `path` agrees, and its scores.

        Args:
            path: Of the graph.
            in_float: Names of its nodes that were not quantised, for the record.
        """
        graph = OnnxGraph(str(path))
        found = [graph_outputs(graph, self.tasks, batch) for batch in self.batches]
        weights = path.with_name(WEIGHTS_FILE)
        return Comparison(
            size=path.stat().st_size + (weights.stat().st_size if weights.exists() else 0),
            random_texts=self._deviations(slice(self._num_random), found),
            validation=self._deviations(slice(self._num_random, None), found),
            scores=self._scores(found),
            in_float=tuple(in_float),
        )

    def _deviations(self, part: slice, found: Sequence[Any]) -> dict[str, Deviation]:
        return deviations(self.tasks, self.batches[part], self.expected[part], found[part])

    def _scores(self, outputs: Sequence[Any]) -> dict[str, float]:
        rest = slice(self._num_random, None)
        return primary_scores(self.tasks, self.batches[rest], outputs[rest]) if outputs[rest] else {}


def check_deviation(comparison: Comparison) -> None:
    """Raise unless a graph in float32 computes the same as its model, up to rounding.

    Raises:
        ValueError: One of its outputs differs by more.
    """
    for texts, results in (("random texts", comparison.random_texts), ("validation rows", comparison.validation)):
        for name, deviation in results.items():
            if not deviation.is_allowed:
                raise ValueError(
                    f"The graph's {name} must be the model's up to {deviation.allowed:.1e}, found a difference of "
                    f"{deviation.max_difference:.1e} on {texts}. Nothing was written: use the model by its pipeline."
                )
