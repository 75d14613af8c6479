"""What a multi-task model is: its backbone, its pooling and its tasks."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from .pooling import POOLINGS

PROBLEM_TYPES = ("single_label_classification",)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question the model answers about a text.

    Args:
        name: Key of the task in ``labels``, ``logits`` and ``losses``, and name of its head's module.
        labels: The classes, in the order of the head's outputs. At least two, all different.
        problem_type: Hugging Face's word for the kind of task.
        loss_weight: Factor of the task's loss in the total loss. Finite and not negative.

    Raises:
        ValueError: The task cannot be trained or stored as described.
    """

    name: str
    labels: tuple[str, ...]
    problem_type: str = "single_label_classification"
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.problem_type not in PROBLEM_TYPES:
            raise ValueError(
                f"Task {self.name!r}: problem_type must be one of {list(PROBLEM_TYPES)}, found {self.problem_type!r}. "
                "Choose one of these, or leave it out."
            )
        object.__setattr__(self, "labels", _checked_labels(self.name, self.labels))
        weight = self.loss_weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise ValueError(
                f"Task {self.name!r}: loss_weight must be a finite number >= 0, found {weight!r}. "
                "Use 1.0 for a plain sum of the losses."
            )
        object.__setattr__(self, "loss_weight", float(weight))

    @property
    def num_labels(self) -> int:
        """Number of outputs of the task's head."""
        return len(self.labels)

    @property
    def label2id(self) -> dict[str, int]:
        """Index of each label among the head's outputs."""
        return {label: index for index, label in enumerate(self.labels)}

    @classmethod
    def parse(cls, description: Any) -> "Task":
        """The task that a mapping (or another `Task`) describes.

        Accepting any object with a `Task`'s fields, not only this class, matters for remote code: a configuration and a
        model loaded from one local folder live in two different copies of this module.
        """
        if not isinstance(description, Mapping):
            if not hasattr(description, "__dataclass_fields__"):
                raise ValueError(
                    "A task must be described by a mapping with the keys 'name' and 'labels', "
                    f"found {description!r}. Write {{'name': 'topic', 'labels': ['News', 'Opinion']}}."
                )
            description = asdict(description)
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(description) - set(known))
        if unknown:
            raise ValueError(
                f"Task {description.get('name')!r}: its keys must be among {known}, found {unknown}. Remove or rename "
                "them."
            )
        missing = [key for key in ("name", "labels") if key not in description]
        if missing:
            raise ValueError(
                f"Task {description.get('name')!r}: the keys {missing} must be given, found none. Add them."
            )
        return cls(**description)


class MultiTaskConfig(PretrainedConfig):
    """Configuration of a [`MultiTaskModel`].

    Args:
        text_config: The backbone's configuration, as an object or as a dict with its ``model_type``. The field's name
            is the one by which `PretrainedConfig.get_text_config` finds it.
        tasks: The tasks, as mappings or `Task`s; their order is the order of heads, losses and logits.
        pooling: How token embeddings become the sentence embedding: "mean", "cls", "max" or "last".
        **kwargs: Passed to [`PretrainedConfig`].

    Raises:
        ValueError: No tasks, two tasks of one name, no task with a positive weight, an unknown pooling, an unknown
            backbone, or a task that cannot be (see [`Task`]).
    """

    model_type = "hf_multitask"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012 - the form transformers reads, in every 5.x version
    has_no_defaults_at_init = True
    keys_to_ignore_at_inference = ["losses", "sentence_embedding", "hidden_states", "attentions"]  # noqa: RUF012

    def __init__(
        self,
        text_config: PretrainedConfig | Mapping[str, Any] | None = None,
        tasks: Iterable[Any] = (),
        pooling: str = "mean",
        **kwargs: Any,
    ) -> None:
        self.text_config = _text_config(text_config)
        self.pooling = pooling
        self.tasks: list[Task] = list(tasks or ())
        self.check()
        # PretrainedConfig sets the attention implementation of this config *and of its sub-configs*, to None where it
        # is not given. A live backbone that shares `text_config` would then drop its padding mask without a word.
        kwargs.setdefault("attn_implementation", self.text_config._attn_implementation)
        super().__init__(**kwargs)

    def check(self) -> None:
        """Check pooling and tasks, and make `Task`s of the tasks' descriptions.

        The model calls it again, because `from_pretrained(..., pooling=...)` changes a finished configuration.

        Raises:
            ValueError: See the class.
        """
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {list(POOLINGS)}, found {self.pooling!r}. Choose one of these.")
        self.tasks = parse_tasks(self.tasks)

    @property
    def hidden_size(self) -> int:
        """Size of the sentence embedding: the backbone's hidden size."""
        size: int = self.text_config.hidden_size
        return size

    def task(self, name: str) -> Task:
        """The task called `name`.

        Raises:
            ValueError: There is no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise ValueError(
            f"The task must be one of {[task.name for task in self.tasks]}, found {name!r}. Check its name."
        )

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON-serialisable values, tasks as plain dicts, without paths of this machine."""
        output: dict[str, Any] = super().to_dict()
        if os.path.isdir(output["text_config"].get("_name_or_path") or ""):
            del output["text_config"]["_name_or_path"]
        output["tasks"] = [asdict(task) | {"labels": list(task.labels)} for task in self.tasks]
        return output


def _check_name(name: Any) -> None:
    """Raise unless `nn.ModuleDict` can hold a head called `name`."""
    rule = "a task's name must be a non-empty string without dots that is no attribute of torch.nn.ModuleDict"
    if not isinstance(name, str) or not name.strip() or "." in name or not name.isprintable():
        raise ValueError(f"Task {name!r}: {rule}, found {name!r}. Choose another name.")
    if hasattr(nn.ModuleDict(), name):
        raise ValueError(
            f"Task {name!r}: {rule}, found such an attribute. Choose another name, such as {name + '_task'!r}."
        )


def _checked_labels(name: str, labels: Any) -> tuple[str, ...]:
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ValueError(
            f"Task {name!r}: labels must be a list of names, found {labels!r}. Write labels: [first, second]."
        )
    names: tuple[str, ...] = tuple(labels)
    for label in names:
        if not isinstance(label, str):
            raise ValueError(
                f"Task {name!r}: every label must be a string, found {label!r} ({type(label).__name__}). Quote it: "
                f"{str(label)!r}."
            )
    if len(names) < 2:
        raise ValueError(
            f"Task {name!r}: a classification needs at least two labels, found {list(names)}. Add the missing ones."
        )
    repeated = sorted({label for label in names if names.count(label) > 1})
    if repeated:
        raise ValueError(
            f"Task {name!r}: its labels must all be different, found {repeated} more than once. Name each once."
        )
    return names


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


def _text_config(config: PretrainedConfig | Mapping[str, Any] | None) -> PretrainedConfig:
    """The backbone's configuration as an object; an object is kept as it is, because a live backbone may share it."""
    if isinstance(config, PretrainedConfig):
        return config
    model_type = config.get("model_type") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise ValueError(
            "text_config must be the configuration of a backbone that transformers knows, "
            f"found {'none' if config is None else f'model_type {model_type!r}'}. "
            "Pass AutoConfig.from_pretrained(...), or build the model by MultiTaskModel.from_backbone(...)."
        )
    if model_type == MultiTaskConfig.model_type:
        raise ValueError(
            "The backbone must be a bare encoder, found a multi-task model. Load that by "
            "MultiTaskModel.from_pretrained(...), and change its tasks by add_task(...) and remove_task(...)."
        )
    # A saved backbone configuration must never bring code, or the consent to run it, of its own.
    values = {key: value for key, value in config.items() if key not in ("auto_map", "trust_remote_code")}
    text_config: PretrainedConfig = CONFIG_MAPPING[model_type].from_dict(values)
    return text_config
