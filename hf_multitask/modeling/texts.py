"""What a model is asked about: a text, or a pair of texts."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Text: TypeAlias = tuple[str, ...]
"""One string, or two of a pair."""


def check_no_table(texts: Any) -> None:
    """Raise where texts are a table of pandas, polars or Arrow, which would be read as the names of its columns.

    Raises:
        ValueError: They are.
    """
    if hasattr(texts, "columns") or (hasattr(texts, "column_names") and not hasattr(texts, "features")):
        raise ValueError(
            f"Texts must be a list or a column of them, found a {type(texts).__name__}. Pass one column, or its "
            "rows as mappings with 'text' and maybe 'text_pair'."
        )


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
