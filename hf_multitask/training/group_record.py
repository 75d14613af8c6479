"""What a checkpoint tells of its optimizer's groups: a resumed run takes their rates from it, whatever it is told."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

FILE = "parameter_groups.json"
"""Name, rate and decay of each group, before any schedule."""

SHOWN = 3
"""Of so many groups a message tells."""

Record: TypeAlias = list[list[Any]]


def group_record(groups: Sequence[Mapping[str, Any]]) -> Record:
    """Of each of the optimizer's groups, its name, its base rate and its weight decay.

    Args:
        groups: Those of [`layerwise_parameter_groups`].
    """
    return [[group["name"], group["lr"], group["weight_decay"]] for group in groups]


def save_groups(folder: str, record: Record | None) -> None:
    """Write a [`group_record`], if there is one, into the checkpoint `folder`."""
    if record is not None:
        (Path(folder) / FILE).write_text(json.dumps(record), encoding="utf-8")


def check_groups(folder: str | None, record: Record | None) -> None:
    """Raise unless a run has the groups of the checkpoint that it goes on from; older ones do not tell them.

    Args:
        folder: The checkpoint, if there is one.
        record: [`group_record`] of the run; `None` where the optimizer is the user's own.

    Raises:
        ValueError: It has others.
    """
    if folder is None or record is None or not (Path(folder) / FILE).is_file():
        return
    saved = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
    if saved == record:
        return
    wanted = [group for group in saved if group not in record]
    found = [group for group in record if group not in saved]
    raise ValueError(
        "A resumed run must have the parameter groups of its checkpoint (name, learning rate, weight decay), "
        f"{wanted[:SHOWN]}, found {found[:SHOWN]}. Restore learning_rate, head_learning_rate, layer_decay, "
        "embeddings_lr_scale, weight_decay, freeze and lora, or start a new run."
    )
