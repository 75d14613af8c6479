"""What a user should know of texts that were answered all the same."""

import logging
from collections import Counter

from .reading import Reading

logger = logging.getLogger(__name__)


class Notices:
    """Counts texts that are empty or longer than what is read, and says so once, in the end."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, reading: Reading) -> None:
        """Count the texts of a batch."""
        empty = sum(not all(part.strip() for part in text) for text in reading.texts)
        self._counts.update(texts=len(reading.texts), empty=empty, cut=reading.cut)

    def tell(self, limit: int) -> None:
        """Warn of what was counted, if anything was; `limit` is how many tokens are read of a text."""
        texts, empty, cut = (self._counts[key] for key in ("texts", "empty", "cut"))
        if empty:
            logger.warning("%d of %d texts are empty, or have an empty part; their answers mean little", empty, texts)
        if cut:
            logger.warning("%d of %d texts are longer than the %d tokens that are read of a text", cut, texts, limit)
