"""Checks of the values that describe a task; each says what must hold, what was found, and what to do."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any


def check_name(name: Any) -> None:
    """Raise unless `nn.ModuleDict` can hold a head called `name`.

    Without torch, which whoever serves an exported graph need not have, there are no heads to hold.
    """
    rule = "a task's name must be a non-empty string without dots that is no attribute of torch.nn.ModuleDict"
    if not isinstance(name, str) or not name.strip() or "." in name or not name.isprintable():
        raise ValueError(f"Task {name!r}: {rule}, found {name!r}. Choose another name.")
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch.nn.ModuleDict(), name):
        raise ValueError(
            f"Task {name!r}: {rule}, found such an attribute. Choose another name, such as {name + '_task'!r}."
        )


def check_number(where: str, value: Any, holds: Callable[[float], bool], rule: str, example: str) -> None:
    """Raise unless `value` is a finite number for which `holds` is true."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not holds(value):
        raise ValueError(f"{where} must be {rule}, found {value!r}. Write {example}, for instance.")


def as_mapping(where: str, value: Any) -> Mapping[str, Any]:
    """`value`, a mapping or any dataclass's instance, as a mapping.

    Any object with the fields will do, not only this module's own classes: a configuration and a model loaded from one
    local folder of remote code live in two different copies of it.
    """
    if isinstance(value, Mapping):
        return value
    if not hasattr(value, "__dataclass_fields__") or isinstance(value, type):
        raise ValueError(f"{where} must be described by a mapping, found {value!r}. Write {{key: value}}.")
    return asdict(value)


def check_fields(where: str, values: Mapping[str, Any], cls: type) -> None:
    """Raise unless every key of `values` is a field of the dataclass `cls`."""
    known = [field.name for field in fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: its keys must be among {known}, found {unknown}. Remove or rename them.")


def checked_labels(where: str, labels: Any, at_least: int) -> tuple[str, ...]:
    """The labels, strings and all different."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ValueError(f"{where}labels must be a list of names, found {labels!r}. Write labels: [first, second].")
    names: tuple[str, ...] = tuple(labels)
    for label in names:
        if not isinstance(label, str):
            raise ValueError(
                f"{where}every label must be a string, found {label!r} ({type(label).__name__}). Quote it: "
                f"{str(label)!r}."
            )
    if len(names) < at_least:
        count = {1: "at least one label", 2: "at least two labels"}[at_least]
        raise ValueError(f"{where}a classification needs {count}, found {list(names)}. Add the missing ones.")
    repeated = sorted(label for label, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{where}its labels must all be different, found {repeated} more than once. Name each once.")
    return names


def checked_weights(where: str, weights: Any, labels: tuple[str, ...]) -> tuple[float, ...] | None:
    """One factor per label, from a list or from a mapping by label, which may leave labels out (1)."""
    if isinstance(weights, Mapping):
        unknown = [label for label in weights if label not in labels]
        if unknown:
            raise ValueError(
                f"{where}class_weights must name labels of the task, {list(labels)}, found {unknown}. Correct them."
            )
        weights = [weights.get(label, 1.0) for label in labels]
    if isinstance(weights, str):
        raise ValueError(
            f"{where}class_weights must be a list of numbers or a mapping from labels, found {weights!r}. Balanced "
            "weights are computed from the training rows: hf_multitask.data.statistics.balanced_weights."
        )
    checked = checked_numbers(f"{where}class_weights", weights, len(labels), lambda w: w >= 0, "numbers >= 0")
    if checked is not None and labels and not any(checked):
        raise ValueError(f"{where}class_weights must not all be 0, found {list(checked)}. Raise one.")
    return checked


def checked_numbers(
    where: str,
    values: Any,
    count: int,
    holds: Callable[[float], bool] = lambda _: True,
    rule: str = "finite numbers",
) -> tuple[float, ...] | None:
    """`count` numbers as floats, or `None` for `None`."""
    if values is None:
        return None
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable) or len(list(values)) != count:
        raise ValueError(f"{where} must be a list of {count} {rule}, found {values!r}. Give one for each output.")
    for value in values:
        check_number(where, value, holds, f"a list of {rule}", str([1.0] * count))
    return tuple(float(value) for value in values)


def checked_metric(where: str, metric: Any) -> str:
    """The name of a metric: a string, or `{"f1": label}` as `f1:label`."""
    if isinstance(metric, Mapping) and len(metric) == 1:
        ((name, label),) = metric.items()
        metric = f"{name}:{label}"
    if not isinstance(metric, str) or not metric.strip():
        raise ValueError(
            f"{where}a metric must be a name or {{name: label}}, found {metric!r}. Write f1_macro or {{f1: Irony}}."
        )
    return metric
