"""What the user says of a task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub.dataclasses import strict

BALANCED = "balanced"
"""Class weights that are computed from the training rows."""


@strict
@dataclass(kw_only=True)
class TaskSettings:
    """What the user says of a task; what is left out is inferred from the data.

    Args:
        problem_type: Hugging Face's word for the kind of task; "ordinal" and "similarity" are never inferred.
        labels: The classes, in the order of the head's outputs; by default those of the rows, sorted.
        loss_weight: Factor of the task's loss in the total.
        class_weights: `balanced`, or the factor of each label's loss, as a list or by label.
        label_smoothing: Share of the target that is spread evenly over the labels.
        head: `hidden` (sizes of layers) and `dropout` of the head.
        metrics: Names of the metrics to compute; by default those of the kind.
        primary_metric: The metric by which the task is judged: a name, or `{f1: label}` for the F1 of one class.
        score_range: Of a similarity, the scores that mean a cosine of 0 and of 1; by default those of the rows where
            they leave [0, 1].
        description: What the task tells of a text, in a sentence or two for the readers of the card.
    """

    problem_type: str | None = None
    labels: list[str | int] | None = None
    loss_weight: float | int = 1.0
    class_weights: str | list[float | int] | dict[str | int, float | int] | None = None
    label_smoothing: float | int = 0.0
    head: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] | None = None
    primary_metric: str | dict[str, str | int] | None = None
    score_range: list[float | int] | None = None
    description: str = ""

    def described(self, name: str, problem_type: str, labels: Sequence[str]) -> dict[str, Any]:
        """The task's description for [`MultiTaskConfig`], given its `name`, kind and `labels`.

        Class weights that have yet to be computed are left out.
        """
        weights: Any = None if self.class_weights == BALANCED else self.class_weights
        if isinstance(weights, dict):
            weights = {str(label): weight for label, weight in weights.items()}
        return {
            "name": name,
            "problem_type": problem_type,
            "labels": list(labels),
            "loss_weight": self.loss_weight,
            "class_weights": weights,
            "label_smoothing": self.label_smoothing,
            "head": self.head,
            "metrics": self.metrics,
            "primary_metric": self.primary_metric,
            "score_range": self.score_range,
            "description": self.description,
        }

    def provisional(self, name: str) -> dict[str, Any]:
        """A description with made-up labels for those that only the data will tell, to check the rest early."""
        kind = self.problem_type or "multi_label_classification"  # which reads whatever a kind that is inferred reads
        made_up = [] if kind in ("regression", "similarity") else ["first", "second"]
        labels = made_up if self.labels is None else [str(label) for label in self.labels]
        described = self.described(name, kind, labels)
        # The number of labels is not known yet; that of a regression, which reads no weights, does not matter.
        return described if self.labels is not None or kind == "regression" else described | {"class_weights": None}
