"""Other values of some attributes, for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replaced(thing: Any, **values: Any) -> Iterator[None]:
    """Attributes of `thing` have these values, and afterwards those that they had.

    Args:
        thing: Such as training arguments.
        **values: By the attributes' names.
    """
    kept = {name: getattr(thing, name) for name in values}
    try:
        for name, value in values.items():
            setattr(thing, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(thing, name, value)
