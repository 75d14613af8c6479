"""One question the model answers about a text: its kind, its labels, its head, its share of the loss."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from .checks import (
    as_mapping,
    check_fields,
    check_name,
    check_number,
    checked_labels,
    checked_metric,
    checked_numbers,
    checked_weights,
)

CHOICES = ("single_label_classification", "ordinal", "token_classification")
"""Kinds whose answer is one of the labels: int64 labels, -100 where a row (or token) has no target."""

PROBLEM_TYPES = (*CHOICES, "multi_label_classification", "regression", "similarity")
"""Kinds of task. All but `CHOICES` have float labels, NaN where there is no target."""

HUB_TYPES = {"token_classification": "token-classification", "similarity": "sentence-similarity"}
"""Kind of task -> the Hub's word for it; that of all others is text-classification, of regressions too."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What lies between what a task reads and its outputs: by default one linear layer.

    Args:
        hidden: Sizes of hidden layers, each followed by GELU.
        dropout: Probability with which each input of every linear layer is dropped in training, in [0, 1).

    Raises:
        ValueError: A size or the probability cannot be.
    """

    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes: Any = self.hidden
        if not isinstance(sizes, list | tuple) or not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"head.hidden must be a list of sizes >= 1, found {sizes!r}. Write hidden: [128].")
        object.__setattr__(self, "hidden", tuple(sizes))
        check_number("head.dropout", self.dropout, lambda p: 0 <= p < 1, "a probability in [0, 1)", "0.1")
        object.__setattr__(self, "dropout", float(self.dropout))


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question the model answers about a text.

    Args:
        name: Key of the task in ``labels``, ``logits`` and ``losses``, and name of its head's module.
        problem_type: The kind of task: one label of each text ("single_label_classification"), one of several that
            have an order ("ordinal"), any number of labels ("multi_label_classification"), a label of each word
            ("token_classification"), one or more numbers ("regression"), or how alike two texts are ("similarity",
            the cosine of their sentence embeddings, without a head).
        labels: The classes, in the order of the head's outputs; for "ordinal" from the lowest to the highest. Of a
            regression with several values, their names.
        loss_weight: Factor of the task's loss in the total loss. Finite and not negative.
        class_weights: Factor of each label's loss, as a list or by label (1 where a label is not named). For several
            labels a text, the factor of the loss where the label applies (`pos_weight` of `BCEWithLogitsLoss`).
        label_smoothing: Share of the target that is spread evenly over the labels, in [0, 1).
        head: Hidden layers and dropout of the head.
        metrics: Names of the metrics to compute; by default those of the kind.
        primary_metric: The metric by which the task is judged: a name, or ``{"f1": label}`` for the F1 of one class.
        temperature: What logits are divided by before they become probabilities (Guo et al. 2017), above 0.
        thresholds: Per label of "multi_label_classification", the probability from which on it is given; 0.5 each by
            default.
        target_mean: Per value of a regression, what 0 of the head means in the user's units; 0 by default.
        target_std: Per value of a regression, what 1 of the head means in the user's units; 1 by default.
        score_range: Scores of "similarity" that mean a cosine of 0 and of 1; (0, 1) by default.
        description: What the task tells of a text, in a sentence or two for people.

    Raises:
        ValueError: The task cannot be trained or stored as described.
    """

    name: str
    problem_type: str = "single_label_classification"
    labels: tuple[str, ...] = ()
    loss_weight: float = 1.0
    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    head: Head = Head()
    metrics: tuple[str, ...] | None = None
    primary_metric: str | None = None
    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None
    score_range: tuple[float, float] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        where = f"Task {self.name!r}: "
        if self.problem_type not in PROBLEM_TYPES:
            raise ValueError(
                f"{where}problem_type must be one of {list(PROBLEM_TYPES)}, found {self.problem_type!r}. "
                "Choose one of these, or leave it out."
            )
        self._set("labels", checked_labels(where, self.labels, self._fewest_labels()))
        self._set("_indices", {label: index for index, label in enumerate(self.labels)})
        check_number(f"{where}loss_weight", self.loss_weight, lambda w: w >= 0, "a finite number >= 0", "1.0")
        check_number(f"{where}label_smoothing", self.label_smoothing, lambda s: 0 <= s < 1, "in [0, 1)", "0.1")
        check_number(f"{where}temperature", self.temperature, lambda t: t > 0, "a finite number > 0", "1.0")
        for key in ("loss_weight", "label_smoothing", "temperature"):
            self._set(key, float(getattr(self, key)))
        head = as_mapping(f"{where}head", self.head)
        check_fields(f"{where}head", head, Head)
        self._set("head", Head(**head))
        self._check_kind(where)
        self._set("class_weights", checked_weights(where, self.class_weights, self.labels))
        count = self.num_labels
        thresholds = checked_numbers(f"{where}thresholds", self.thresholds, count, lambda p: 0 <= p <= 1, "in [0, 1]")
        self._set("thresholds", thresholds)
        self._set("target_mean", checked_numbers(f"{where}target_mean", self.target_mean, count))
        spread = checked_numbers(f"{where}target_std", self.target_std, count, lambda s: s > 0, "finite numbers > 0")
        self._set("target_std", spread)
        self._set("score_range", checked_numbers(f"{where}score_range", self.score_range, 2))
        if self.score_range is not None and self.score_range[0] >= self.score_range[1]:
            raise ValueError(
                f"{where}score_range must be [lowest, highest], found {list(self.score_range)}. Swap the two."
            )
        if not isinstance(self.description, str):
            raise ValueError(f"{where}description must be a text, found {self.description!r}. Quote it.")
        if self.metrics is not None:
            names: Any = self.metrics
            names = [names] if isinstance(names, str) else names
            self._set("metrics", tuple(checked_metric(where, metric) for metric in names))
        if self.primary_metric is not None:
            self._set("primary_metric", checked_metric(where, self.primary_metric))

    @property
    def num_labels(self) -> int:
        """Number C of the task's outputs."""
        return max(1, len(self.labels))

    def index_of(self, label: str) -> int | None:
        """Index of the label among the outputs; `None` where it is none of the task's."""
        found: int | None = self._indices.get(label)  # type: ignore[attr-defined]  # not a field of the description
        return found

    @property
    def is_choice(self) -> bool:
        """Whether the answer is exactly one of the labels, of a text or of each word."""
        return self.problem_type in CHOICES

    @property
    def has_classes(self) -> bool:
        """Whether its answers are labels that have probabilities each: one of them, or any number."""
        return self.is_choice or self.problem_type == "multi_label_classification"

    @property
    def reads_tokens(self) -> bool:
        """Whether the task has an answer for each word, rather than for each text."""
        return self.problem_type == "token_classification"

    @property
    def has_head(self) -> bool:
        """Whether the task has parameters of its own."""
        return self.problem_type != "similarity"

    @classmethod
    def parse(cls, description: Any) -> "Task":
        """The task that a mapping, or any object with a `Task`'s fields, describes."""
        description = as_mapping("A task", description)
        check_fields(f"Task {description.get('name')!r}", description, cls)
        if "name" not in description:
            raise ValueError("A task: the key 'name' must be given, found none. Write {'name': 'topic', ...}.")
        return cls(**description)

    def describe(self) -> dict[str, Any]:
        """The mapping that `parse` reads, of JSON's own types, without what is `None`."""
        values = {key: _plain(value) for key, value in asdict(self).items() if value is not None}
        return values | {"head": {key: _plain(value) for key, value in asdict(self.head).items()}}

    def _set(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)

    def _fewest_labels(self) -> int:
        if self.is_choice:
            return 2
        return 1 if self.problem_type == "multi_label_classification" else 0

    def _check_kind(self, where: str) -> None:
        """Raise where a setting is given that this kind of task does not read."""
        kind = self.problem_type
        read = {
            "labels": kind != "similarity",
            "class_weights": self.has_classes,
            "label_smoothing": self.has_classes,
            "temperature": self.has_classes,
            "head": kind != "similarity",
            "thresholds": kind == "multi_label_classification",
            "target_mean": kind == "regression",
            "target_std": kind == "regression",
            "score_range": kind == "similarity",
        }
        defaults = {field.name: field.default for field in fields(self)}
        for key, is_read in read.items():
            if not is_read and getattr(self, key) != defaults[key]:
                raise ValueError(
                    f"{where}{key} must be left out for problem_type {kind!r}, which does not read it, found "
                    f"{getattr(self, key)!r}. Remove it."
                )


def parse_tasks(descriptions: Iterable[Any]) -> list[Task]:
    """The tasks that mappings or `Task`s describe.

    Raises:
        ValueError: There are none, two of one name, or none with a weight above 0; or one cannot be (see [`Task`]).
    """
    tasks = [Task.parse(description) for description in descriptions or ()]
    if not tasks:
        raise ValueError(
            "A multi-task model must have at least one task, found none. "
            "Pass tasks=[{'name': 'topic', 'labels': ['News', 'Opinion']}, ...]."
        )
    names = [task.name for task in tasks]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"Every task must have a name of its own, found {repeated} more than once. Rename all but one."
        )
    if not any(task.loss_weight for task in tasks):
        raise ValueError(
            "At least one task must have a loss_weight above 0, found 0 for all. Raise one, or leave it out."
        )
    return tasks


def choose_tasks(tasks: Sequence[Task], names: Iterable[str]) -> list[Task]:
    """Those of `tasks` that are named, in the order of the names.

    Raises:
        ValueError: There is no task of one of the names, or no name.
    """
    by_name = {task.name: task for task in tasks}
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise ValueError(
            f"tasks must name some of the model's tasks {list(by_name)}, found {unknown or 'none'}. Correct the names, "
            "or leave tasks out."
        )
    return [by_name[name] for name in wanted]


def hub_type(task: Task) -> str:
    """The Hub's word for the kind of a task."""
    return HUB_TYPES.get(task.problem_type, "text-classification")


def pipeline_tag(tasks: Iterable[Task]) -> str:
    """The one word that the Hub has for a model of these tasks: theirs, or else the commonest one."""
    types = set(map(hub_type, tasks))
    return types.pop() if len(types) == 1 else "text-classification"


def _plain(value: Any) -> Any:
    """Lists in place of tuples, as JSON has them."""
    return list(value) if isinstance(value, tuple) else value
