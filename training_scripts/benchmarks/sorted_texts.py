"""The loop around a bare runtime: texts sorted by length, as every serious user has it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .workload import Workload


def in_sorted_batches(workload: Workload, embed: Callable[[dict[str, Any]], Any]) -> Callable[[Sequence[str]], Any]:
    """From texts to embeddings (N, D), in their order.

    Args:
        workload: Has the tokenizer and the batch size.
        embed: From a padded batch of arrays to its embeddings (B, D).
    """

    def encode(texts: Sequence[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        vectors: list[Any] = [None] * len(texts)
        for start in range(0, len(order), workload.batch_size):
            places = order[start : start + workload.batch_size]
            batch = workload.tokenizer(
                [texts[place] for place in places],
                truncation=True,
                max_length=workload.max_length,
                padding=True,
                return_tensors="np",
            )
            for place, vector in zip(places, embed(batch), strict=True):
                vectors[place] = vector
        return np.stack(vectors)

    return encode
