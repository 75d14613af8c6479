"""From which probability on a label is given.

Letters of the shapes: n texts, C labels.
"""

import numpy as np
from numpy.typing import NDArray

from .answers import Floats

DEFAULT = 0.5


def best_thresholds(probabilities_nC: NDArray[np.float32], targets_nC: Floats) -> tuple[float, ...]:
    """Per label, the threshold of the highest F1 on these texts.

    Halfway between two neighbouring probabilities, or 0.5 where that parts the texts alike; of several equally good
    ones the closest to 0.5. 0.5 for a label that applies to all texts or to none.

    Args:
        probabilities_nC: Probability of each label.
        targets_nC: 1 where a label applies, 0 where it does not, NaN where there is no target.
    """
    return tuple(_best(p_n, y_n) for p_n, y_n in zip(probabilities_nC.T, targets_nC.T, strict=True))


def _best(p_n: NDArray[np.float32], y_n: Floats) -> float:
    known = ~np.isnan(y_n)
    p_n, applies_n = p_n[known], y_n[known] > 0.5
    if applies_n.all() or not applies_n.any():
        return DEFAULT
    levels, level_n = np.unique(p_n, return_inverse=True)
    # At index k: what is given where the threshold lies above level k - 1 and reaches level k.
    given = np.bincount(level_n)[::-1].cumsum()[::-1]
    hits = np.bincount(level_n, weights=applies_n)[::-1].cumsum()[::-1]
    f1 = 2 * hits / (given + applies_n.sum())
    below = np.append(np.float32(0.0), levels[:-1])
    thresholds = ((below.astype(np.float64) + levels) / 2).astype(np.float32)
    # In float32, as probabilities are compared, the middle of two neighbours may be the lower one.
    thresholds = np.where(thresholds > below, thresholds, levels)
    thresholds = np.where((below < DEFAULT) & (levels >= DEFAULT), np.float32(DEFAULT), thresholds)
    best = np.flatnonzero(np.isclose(f1, f1.max(), rtol=1e-12, atol=0.0))
    return float(thresholds[best[np.abs(thresholds[best] - DEFAULT).argmin()]])
