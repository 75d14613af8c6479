"""What is not trained: for the whole run, or until its turn comes."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn import Parameter
from transformers import TrainerControl, TrainerState, TrainingArguments

from .layerwise import find_backbone, named_groups
from .run_callback import RunCallback

logger = logging.getLogger(__name__)

LAYER_RANGE = re.compile(r"layers\.(\d+)-(\d+)")

FROZEN_BY_TRAINER = "_frozen_by_trainer"
"""Attribute of a model: names of the parameters that the arguments of the Trainer made last for it froze."""


def freeze(model: nn.Module, patterns: list[str]) -> None:
    """Turn off the gradients of what `patterns` name.

    Args:
        model: A model with a child called `backbone`, wrapped or not.
        patterns: Names of groups (`embeddings`, `layers.3`, `top`, `heads`, `loss`), ranges of layers with both ends
            (`layers.0-3`), `backbone` for all of the encoder, or a task's head (`heads.topic`).

    Raises:
        ValueError: A pattern names nothing in this model.
    """
    candidates, frozen = _candidates(model), set()
    for pattern in patterns:
        for name in _expanded(pattern):
            if name not in candidates:
                raise ValueError(
                    f"freeze: every pattern must name a part of the model, one of {list(candidates)} or a range such "
                    f"as 'layers.0-3', found {pattern!r}. Correct it, or remove it."
                )
            for parameter in candidates[name]:
                parameter.requires_grad_(False)
                frozen.add(id(parameter))
    by_trainer: list[str] = getattr(model, FROZEN_BY_TRAINER, [])
    by_trainer[:] = [name for name, parameter in _named(model, by_trainer) if id(parameter) not in frozen]


def freeze_for_trainer(model: nn.Module, patterns: list[str] | None) -> list[str]:
    """Freeze what `patterns` name, and let learn what another Trainer froze that the model had before; the record.

    What is frozen by [`freeze`], or before the first Trainer, stays so.

    Args:
        model: A model with a child called `backbone`, wrapped or not.
        patterns: The `freeze` of a Trainer's arguments; see [`freeze`].

    Raises:
        ValueError: A pattern names nothing in this model.
    """
    for _, parameter in _named(model, getattr(model, FROZEN_BY_TRAINER, [])):
        parameter.requires_grad_(True)
    learned = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    freeze(model, patterns or [])
    frozen = [name for name, parameter in _named(model, learned) if not parameter.requires_grad]
    setattr(model, FROZEN_BY_TRAINER, frozen)
    return frozen


def has_other_record(model: nn.Module, record: list[str]) -> bool:
    """Whether another Trainer was made for the model since the one that `record` is of."""
    return getattr(model, FROZEN_BY_TRAINER, None) is not record


def _named(model: nn.Module, names: list[str]) -> list[tuple[str, Parameter]]:
    """Parameters by their names; not those that are gone, as where adapters were put in."""
    parameters = dict(model.named_parameters())
    return [(name, parameters[name]) for name in names if name in parameters]


def warn_of_frozen_heads(model: nn.Module) -> None:
    """Warn where tasks have heads and none of them learns, as it is with adapters that are not told of them."""
    heads = named_groups(model).get("heads", [])
    if heads and not any(parameter.requires_grad for parameter in heads):
        config: Any = model.config
        names = [f"heads.{task.name}" for task in config.tasks if task.has_head]
        logger.warning("No task head is trainable. With peft, name them: modules_to_save=%s", names)


class GradualUnfreezing(RunCallback):
    """Train the heads alone at first, then one more encoder layer from the top every so many steps, embeddings last.

    What is trainable is a function of the step alone, so that a resumed run goes on where it stopped. Parameters that
    are frozen when training begins stay frozen. (Howard and Ruder 2018, "gradual unfreezing".)

    Args:
        steps_per_layer: Optimizer steps between two layers.
    """

    def __init__(self, steps_per_layer: int) -> None:
        self.steps_per_layer = steps_per_layer
        self._waiting: list[list[Parameter]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the groups, from the top, that have anything to unfreeze."""
        groups = named_groups(kwargs["model"])
        top = groups.pop("top", [])
        layers = [name for name in groups if name.startswith("layers.")]
        stages = [top + groups[layers[0]], *(groups[name] for name in layers[1:])] if layers else [top]
        stages.append(groups.get("embeddings", []))
        trainable = [[parameter for parameter in stage if parameter.requires_grad] for stage in stages]
        self._waiting = [stage for stage in trainable if stage]

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let gradients reach the groups whose turn has come."""
        for index, stage in enumerate(self._waiting):
            for parameter in stage:
                parameter.requires_grad_(state.global_step >= (index + 1) * self.steps_per_layer)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the model as trainable as it was."""
        self._thaw()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Leave the model as trainable as it was, however the run ends."""
        try:
            yield
        finally:
            self._thaw()

    def _thaw(self) -> None:
        for parameter in (parameter for stage in self._waiting for parameter in stage):
            parameter.requires_grad_(True)
        self._waiting = []


def _candidates(model: nn.Module) -> dict[str, list[Parameter]]:
    """Everything that can be named, by its name."""
    groups = named_groups(model)
    backbone = list(find_backbone(model).parameters())
    in_backbone = {id(parameter) for parameter in backbone}
    heads: dict[str, list[Parameter]] = {}
    for path, parameter in model.named_parameters():
        parts = path.split(".")
        if "heads" in parts and id(parameter) not in in_backbone:
            heads.setdefault(f"heads.{parts[parts.index('heads') + 1]}", []).append(parameter)
    return groups | {"backbone": backbone} | heads


def _expanded(pattern: str) -> list[str]:
    """`layers.0-3` as the four layers it names; any other pattern as it is."""
    if match := LAYER_RANGE.fullmatch(pattern):
        first, last = int(match[1]), int(match[2])
        return [f"layers.{index}" for index in range(first, last + 1)] or [pattern]
    return [pattern]
