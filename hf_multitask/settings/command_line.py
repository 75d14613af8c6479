"""From the command line to the settings of a run: a configuration file, with flags laid over it."""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .keys import check_keys
from .run_settings import RunSettings
from .yaml_file import parse_yaml, read_yaml

FREE_TEXT = (
    "backbone",
    "from_checkpoint",
    "sample_texts",
    "output_dir",
    "run_name",
    "hub_model_id",
    "hub_token",
    "resume_from_checkpoint",
)
"""Flags whose values are taken as they stand: paths, names and sentences may look like YAML and are not."""

DOTTED_FREE_TEXT = re.compile(r"datasets\.[^.]+\.(path|revision)|tasks\.[^.]+\.description")
"""The dotted ones of these."""

COMMENT = re.compile(r"[^\"'\[{].*\s#|#", re.DOTALL)
"""Begins a value that YAML would cut at a `#`; on a command line there are no comments."""

OF_ITS_TRAINING = ("compare_single_task", "compare_seeds", "compare_pairs", "lora")
"""Keys that say how a model is trained, and could not be beside the `from_checkpoint` of a further training."""


def parse_command_line(
    words: Sequence[str], default: Path | None, training_keys: Collection[str], checkpoint: str | None = None
) -> RunSettings:
    """The settings of a run.

    Args:
        words: Maybe the path of a configuration file, then flags (see `apply_flags`).
        default: The configuration file to use where `words` name none, if there is one.
        training_keys: The keys that `training` may have.
        checkpoint: A model that is there already, which a file that says nothing of a model need not name.

    Raises:
        ValueError: Something in the file or the flags is unknown, missing, of the wrong type or contradictory.
    """
    has_path = bool(words) and not words[0].startswith("--")
    path = Path(words[0]) if has_path else default
    if path is None:
        raise ValueError("The command line must begin with a configuration file, found none. Write: train CONFIG.yaml")
    given = read_yaml(path)
    config = apply_flags(given, words[1:] if has_path else words, training_keys)
    config = config if given.get("tasks") else _with_tasks(config)
    if checkpoint is not None and config.get("backbone") is None and config.get("from_checkpoint") is None:
        config = {key: value for key, value in config.items() if key not in OF_ITS_TRAINING}
        config["from_checkpoint"] = checkpoint
    return RunSettings.from_dict(config, folder=path.resolve().parent)


def _with_tasks(config: dict[str, Any]) -> dict[str, Any]:
    """`config`, of a file without tasks, with those of all targets beside the ones that flags say something of."""
    datasets, tasks = config.get("datasets"), config.get("tasks") or {}
    if not isinstance(datasets, Mapping) or not isinstance(tasks, Mapping):
        return config
    targets = [dataset.get("targets") for dataset in datasets.values() if isinstance(dataset, Mapping)]
    fed: dict[str, Any] = {task: {} for found in targets if isinstance(found, Mapping) for task in found}
    return config | {"tasks": fed | dict(tasks)}


def apply_flags(config: Mapping[str, Any], flags: Sequence[str], training_keys: Collection[str]) -> dict[str, Any]:
    """`config` with each flag's value in its place.

    `--pooling cls` sets a key of the file's top level, `--learning_rate 5e-5` a key of `training`, and a dotted flag
    any other: `--tasks.topic.loss_weight 2`. Values are YAML, but for those in `FREE_TEXT`; several make a list, none
    makes `true`; `--key=value` works too.

    Raises:
        ValueError: A flag is unknown, or a word stands before the first flag.
    """
    top_level = {f.name for f in fields(RunSettings) if f.name != "folder"}
    merged: dict[str, Any] = copy.deepcopy(dict(config))
    for flag, value in _pairs(flags):
        path = flag.split(".")
        if len(path) == 1:
            path = [flag.replace("-", "_")]
            check_keys(path, {*top_level, *training_keys}, "command line")
            if path[0] not in top_level:
                path = ["training", *path]
        check_keys(path[:1], top_level, "command line")
        _set(merged, path, value)
    return merged


def _pairs(flags: Sequence[str]) -> list[tuple[str, Any]]:
    grouped: list[tuple[str, list[str]]] = []
    for word in flags:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            grouped.append((name, [value] if equals else []))
        elif grouped:
            grouped[-1][1].append(word)
        else:
            raise ValueError(
                f"The command line must have at most one configuration file, and then flags, found {word!r}. Remove it."
            )
    return [(name, _value(name, words)) for name, words in grouped]


def _value(name: str, words: list[str]) -> Any:
    free = name.replace("-", "_") in FREE_TEXT or (DOTTED_FREE_TEXT.fullmatch(name) and words != ["null"])
    values = [word if free or COMMENT.match(word) else parse_yaml(word, f"--{name}") for word in words]
    if not values:
        return True
    if name in ("sample_texts", "sample-texts"):
        return values
    return values[0] if len(values) == 1 else values


def _set(config: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(config.get(key), dict):
            config[key] = {}
        config = config[key]
    config[path[-1]] = value
