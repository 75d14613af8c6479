"""What a user should know of texts that were answered all the same."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator

from .reading import Reading

logger = logging.getLogger(__name__)

_gathering: list["Notices"] = []
"""Where notices go instead of the log; see [`gathered_notices`]."""


class Notices:
    """Counts texts that are empty or longer than what is read, and says so once, in the end."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.limit = 0

    def add(self, reading: Reading) -> None:
        """Count the texts of a batch."""
        empty = sum(not all(part.strip() for part in text) for text in reading.texts)
        self._counts.update(texts=len(reading.texts), empty=empty, cut=reading.cut)

    def tell(self, limit: int) -> None:
        """Warn of what was counted, if anything was; `limit` is how many tokens are read of a text."""
        self.limit = limit
        if _gathering:
            _gathering[-1]._counts.update(self._counts)
            _gathering[-1].limit = limit
            return
        texts, empty, cut = (self._counts[key] for key in ("texts", "empty", "cut"))
        if empty:
            logger.warning("%d of %d texts are empty, or have an empty part; their answers mean little", empty, texts)
        if cut:
            logger.warning("%d of %d texts are longer than the %d tokens that are read of a text", cut, texts, limit)


@contextlib.contextmanager
def gathered_notices() -> Iterator[None]:
    """Within it, what would be told of each of many calls is kept, and told of all of them in the end."""
    notices = Notices()
    _gathering.append(notices)
    try:
        yield
    finally:
        _gathering.remove(notices)
        notices.tell(notices.limit)
