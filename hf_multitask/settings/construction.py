"""From a mapping in a configuration to a dataclass, every key and type checked."""

import inspect
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from huggingface_hub.dataclasses import type_validator

from .keys import check_keys

T = TypeVar("T")


def checked_mapping(value: Any, where: str) -> dict[str, Any]:
    """`value`, which is a mapping from strings.

    Raises:
        ValueError: It is not; the message says that it stands at `where`.
    """
    if not isinstance(value, dict):
        raise ValueError(
            f"{where} must be a mapping from names to settings, found {value!r}. Write `{where}:` with names below."
        )
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"{where}: every name must be a string, found {name!r}. Quote it: '{name}'.")
    return value


def build(cls: type[T], values: Any, where: str) -> T:
    """An instance of the dataclass `cls` with the `values` that the configuration has at `where`.

    Raises:
        ValueError: A key is unknown or missing, or a value is of the wrong type.
    """
    specs = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    values = checked_mapping(values, where)
    check_keys(values, specs, where)
    required = [name for name, f in specs.items() if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise ValueError(f"{where}: the keys {required} must be given, found no {missing}. Add them.")
    for name, value in values.items():
        _check_type(name if where == "configuration" else f"{where}.{name}", value, specs[name].type)
    return cls(**values)


def _check_type(key: str, value: Any, kind: Any) -> None:
    annotation = inspect.formatannotation(kind)
    parts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else [value]
    truths = [part for part in parts if isinstance(part, bool)]
    try:
        type_validator(key, value, kind)
        # In Python, and to the validator of older huggingface_hub releases, True is an int.
        if "int" in annotation and truths:
            raise TypeError("bool is no int")
    except TypeError as error:
        what_to_do = "Correct it in the configuration."
        if truths and "str | int" in annotation:
            what_to_do = "If true and false are names, write them in quotes, as the rows spell them: 'true', 'false'."
        raise ValueError(f"{key} must be {annotation}, found {value!r}. {what_to_do}") from error
