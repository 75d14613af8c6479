"""Words for what is told in sentences."""

from collections.abc import Sequence


def listed(names: Sequence[str]) -> str:
    """The names as in a sentence; empty for none."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
