"""YAML as people mean it: no key twice, `1e-5` is a number, `yes` and `no` are words."""

import re
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Scalars as YAML 1.2 and JSON have them: PyYAML reads `1e-5` as a string, [yes, no] as booleans, 010 as 8."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(problem="a key in brackets", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} a second time", problem_mark=key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9]\d*)", list("-+0123456789")),
    "float": (
        r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}
"""Type -> pattern of its scalars, and the characters they can start with."""

for _name, (_pattern, _starts) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _starts)


def parse_yaml(text: str, where: str) -> Any:
    """The value that the YAML `text` describes.

    Raises:
        ValueError: The text is no YAML, or a mapping has a key twice; the message names `where` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(
            f"{where}{line}: the configuration must be valid YAML, found: {error.problem}. Correct it."
        ) from error
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: the configuration must be valid YAML, found: {error}. Correct it.") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at `path`.

    Raises:
        ValueError: The file cannot be read, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The configuration {path} must be a readable UTF-8 file, found: {error}. Check the path."
        ) from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: the configuration must be a mapping, found {type(values).__name__}. Write `key: value` lines."
        )
    return values
