"""From the `training` part of a configuration to training arguments."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn, cast

from transformers import HfArgumentParser

from ..settings.keys import check_keys
from .arguments import MultiTaskTrainingArguments


def argument_names() -> set[str]:
    """Names of all training arguments."""
    return {f.name for f in fields(MultiTaskTrainingArguments) if f.init}


def parse_arguments(values: Mapping[str, Any]) -> MultiTaskTrainingArguments:
    """The training arguments of a configuration.

    Raises:
        ValueError: A key is unknown, or a value is of the wrong type or cannot be right (see the class).
        ImportError: A value needs a package that is not installed.
    """
    check_keys(values, argument_names(), "training")
    words: list[str] = []
    for name, value in values.items():
        if name.endswith("_kwargs") and not isinstance(value, dict | None):
            raise ValueError(f"training.{name} must be a mapping, found {value!r}. Write {{name: value}}.")
        if isinstance(value, list) and value:
            words += [f"--{name}", *map(str, value)]
        elif value is not None and value != []:
            words.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    dataclasses: Any = MultiTaskTrainingArguments
    parser = _Parser(dataclasses, allow_abbrev=False)
    try:
        arguments, surplus = parser.parse_args_into_dataclasses(
            words, return_remaining_strings=True, look_for_args_file=False
        )
    except TypeError as error:
        parser.error(str(error))
    if surplus:
        parser.error(f"more than one value for an argument that takes one: {' '.join(surplus)}")
    return cast(MultiTaskTrainingArguments, arguments)


class _Parser(HfArgumentParser):
    """Hugging Face's parser, which converts and checks types, with its complaint as an exception."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(
            f"training: every value must be of its argument's type, found: {message.rstrip('.')}. Correct the value."
        )
