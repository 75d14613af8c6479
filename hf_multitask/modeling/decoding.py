"""From a task's logits to its answer, in numpy: whatever computed the logits, the answers are the same.

Letters of the shapes: N texts, C outputs of a task, D size of an embedding.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .task import Task

Floats = NDArray[np.float32]


def probabilities(task: Task, logits: ArrayLike) -> Floats:
    r"""Calibrated probability of each label, float32, the shape of `logits` (..., C).

    $\mathrm{softmax}(z / T)$ over the labels where a text has one of them, $\sigma(z / T)$ for each label where it may
    have any number, with the task's temperature T.

    Raises:
        ValueError: The task's answers are numbers, not labels.
    """
    scaled: Floats = np.asarray(logits, dtype=np.float32) / np.float32(task.temperature)
    if task.is_choice:
        powers: Floats = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
        return shares
    if task.problem_type == "multi_label_classification":
        chances: Floats = np.exp(-np.logaddexp(np.float32(0), -scaled))
        return chances
    raise ValueError(
        f"Task {task.name!r}: probabilities need a task with labels, found {task.problem_type!r}. Read its logits: "
        "they are its answers."
    )


def decide(task: Task, logits: ArrayLike) -> NDArray[Any]:
    """The task's answers.

    The index of the label, (...,) int64: of an ordinal task the median class, the lowest that is reached with a
    probability of at least one half, and the likeliest otherwise. Which labels apply, (..., C) bool, where a text may
    have any number: those whose probability reaches their threshold. Else the numbers themselves, (..., C) float32.
    """
    if task.problem_type == "ordinal":
        at_most = probabilities(task, logits).cumsum(axis=-1)[..., :-1]
        return np.asarray((at_most < 0.5).sum(axis=-1))
    if task.is_choice:
        return np.asarray(np.asarray(logits).argmax(axis=-1))
    if task.problem_type == "multi_label_classification":
        thresholds = np.asarray(task.thresholds or (0.5,) * task.num_labels, dtype=np.float32)
        return np.asarray(probabilities(task, logits) >= thresholds)
    return np.asarray(logits, dtype=np.float32)


def unit_vectors(embeddings_ND: ArrayLike) -> Floats:
    """The embeddings scaled to length 1, (N, D) float32; zeros stay zeros (`torch.nn.functional.normalize`)."""
    vectors_ND = np.asarray(embeddings_ND, dtype=np.float32)
    lengths_N1: Floats = np.linalg.norm(vectors_ND, axis=-1, keepdims=True)
    scaled_ND: Floats = vectors_ND / np.maximum(lengths_N1, np.float32(1e-12))
    return scaled_ND


def cosines(first_ND: ArrayLike, second_ND: ArrayLike) -> Floats:
    """Cosine of each pair of embeddings, (N, 1) float32: what a similarity has in place of logits."""
    products_N1: Floats = (unit_vectors(first_ND) * unit_vectors(second_ND)).sum(axis=-1, keepdims=True)
    return products_N1
