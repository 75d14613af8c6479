"""How an epoch's rows are cut into micro-batches of equally many tokens.

Letters of the shapes: N rows; K effective batches of P micro-batches each, those of all processes together.
"""

import numpy as np
from numpy.typing import NDArray


class TokenCut:
    r"""Cuts rows into $K P$ neighbouring parts whose tokens are as even as whole rows allow.

    Of $T$ tokens of all rows, a part has at most $T / (K P)$ and those of one row. So none has more than the budget $b$
    if, with the longest row's $l$ tokens, $K = \lceil T / (P (b - l)) \rceil$.

    Args:
        tokens: Of every row, (N,).
        max_tokens: The budget: tokens of a part, at most.
        parts: Parts P of an effective batch.

    Raises:
        ValueError: The budget is not above twice the longest row.
    """

    def __init__(self, tokens: NDArray[np.int64], max_tokens: int, parts: int) -> None:
        self._longest = int(tokens.max())
        if max_tokens <= 2 * self._longest:
            raise ValueError(
                f"max_tokens_per_batch must be above twice the tokens of the longest row, {self._longest}, found "
                f"{max_tokens}. Raise it to {2 * self._longest + 1} or more, or lower max_length."
            )
        self._tokens = tokens
        self._max_tokens = max_tokens
        self._parts = parts

    def count(self, total: int) -> int:
        """Effective batches K that `total` tokens need."""
        return max(1, -(-total // (self._parts * (self._max_tokens - self._longest))))

    def cut(self, order: NDArray[np.int64], count: int) -> list[list[NDArray[np.int64]]]:
        """The rows of `order`, (N,), in `count` effective batches of P parts each, some of which may be empty.

        A row is in the part that its middle token is in.
        """
        tokens = self._tokens[order]
        ends = tokens.cumsum()
        num_parts = count * self._parts
        cuts = np.searchsorted(ends - tokens / 2, np.arange(1, num_parts) * ends[-1] / num_parts)
        found = np.split(order, cuts)
        return [found[start : start + self._parts] for start in range(0, num_parts, self._parts)]
