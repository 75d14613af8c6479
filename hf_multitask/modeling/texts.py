"""What a model is asked about: a text, or a pair of texts."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Text: TypeAlias = tuple[str, ...]
"""One string, or two of a pair."""


def as_text(value: Any) -> Text:
    """The text or pair that a user means.

    Args:
        value: A string; two strings; or a mapping with `text`, maybe `text_pair`, and whatever else.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, str):
        return (value,)
    parts: Any = value
    if isinstance(value, Mapping):
        second = value.get("text_pair")
        parts = (value.get("text"),) if second is None else (value.get("text"), second)
    if isinstance(parts, list | tuple) and len(parts) in (1, 2) and all(isinstance(part, str) for part in parts):
        return tuple(parts)
    raise ValueError(
        f"A text must be a string, or for a pair two strings or a mapping with 'text' and 'text_pair', found "
        f"{value!r}. Write 'A text.' or ('A text.', 'Another.')."
    )
