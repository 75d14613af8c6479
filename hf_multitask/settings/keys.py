"""Keys of a configuration, checked by name."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def check_keys(found: Iterable[str], known: Collection[str], where: str) -> None:
    """Raise unless all keys `found` are `known`.

    Raises:
        ValueError: One is not; the message names `where` it stands and the nearest known key.
    """
    for key in found:
        if key not in known:
            nearest = get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else "Remove it."
            raise ValueError(f"{where}: every key must be known, found {key!r}. {hint}{_listing(known)}")


def _listing(known: Collection[str]) -> str:
    return f" The known keys are {', '.join(sorted(known))}." if len(known) <= 20 else ""
