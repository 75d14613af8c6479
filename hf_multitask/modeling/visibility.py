"""Which tokens of a text see which, where padding or the backbone hides some.

Letters of the shapes: L tokens of a text, padding included.
"""

import torch
from torch import Tensor


def visible(length: int, is_causal: bool, window: int | None, device: torch.device) -> Tensor | None:
    """Which token (L, .) sees which (., L), `None` for all; a window of w reaches w - 1 tokens far."""
    if not is_causal and (window is None or window >= length):
        return None
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None, :]
    seen_LL = distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
    return seen_LL if window is None else seen_LL & (distance.abs() < window)


def both(real: Tensor | None, seen_LL: Tensor | None) -> Tensor | None:
    """What is not padding and also seen, (..., L, L), or `real` where all is seen; `None` for all.

    Args:
        real: (..., 1, L), where tokens are not padding; `None` where all are.
        seen_LL: As [`visible`] has it.
    """
    if real is None or seen_LL is None:
        return seen_LL if real is None else real
    # Each token sees itself, so that a padding token with nothing in its window is no 0 / 0.
    return real & seen_LL | torch.eye(seen_LL.shape[-1], dtype=torch.bool, device=seen_LL.device)
