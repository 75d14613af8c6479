"""Temperatures and thresholds, fitted on a validation split.

Letters of the shapes: n answers, C labels.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from ..modeling.decoding import probabilities
from ..modeling.labels import labelled
from ..modeling.task import Task
from .answers import counted, read_answers
from .registry import CALIBRATION_ERROR
from .thresholds import best_thresholds

TEMPERATURES = (0.05, 20.0)
"""Between these a temperature is sought: without a wrong answer, the best one would be 0."""


@dataclass(frozen=True)
class Calibration:
    """What calibration changed, on the split that it was fitted on.

    Args:
        rows: Number of texts, or tokens, with a target.
        temperature: What logits are now divided by.
        ece_before: Expected calibration error at temperature 1.
        ece_after: That at the new temperature.
        nll_before: Negative log-likelihood of the targets at temperature 1: its mean over all targets.
        nll_after: That at the new temperature, never above `nll_before`.
        thresholds: Per label, the probability from which on it is given, where a text may have any number of labels.
    """

    rows: int
    temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    thresholds: tuple[float, ...] | None = None


def calibrate(
    tasks: Iterable[Task], predictions: Mapping[str, Any], label_ids: Mapping[str, Any]
) -> tuple[list[Task], dict[str, Calibration]]:
    """The tasks with temperatures and thresholds fitted on a validation split, and what that changed, by task.

    A task whose answers are numbers stays as it is, and so does one without a target, or with outputs that are no
    numbers.

    Args:
        tasks: The model's tasks.
        predictions: Per task, the logits of the split.
        label_ids: Per task, the labels of the split.
    """
    tasks, records = list(tasks), {}
    for index, task in enumerate(tasks):
        if task.name in label_ids and (task.is_choice or task.problem_type == "multi_label_classification"):
            found = calibrate_task(task, predictions[task.name], label_ids[task.name])
            if found is not None:
                tasks[index], records[task.name] = found
    return tasks, records


def calibrate_task(task: Task, logits: ArrayLike, labels: ArrayLike) -> tuple[Task, Calibration] | None:
    """The task with its temperature, and its thresholds, fitted on (`logits`, `labels`) as in [`read_answers`].

    First the temperature of the least negative log-likelihood (Guo et al. 2017), then, on the calibrated probabilities,
    each label's threshold of the highest F1. `None` where there is no target, or the logits are no numbers.
    """
    plain = replace(task, temperature=1.0, thresholds=None)
    before = read_answers(plain, logits, labels)
    if before is None or not before.is_finite:
        return None
    outputs, targets, _ = counted(plain, logits, labels)
    scores = outputs.double()
    nll_before = _nll(plain, scores, targets, 1.0)
    temperature, nll_after = 1.0, nll_before
    low, high = (math.log(bound) for bound in TEMPERATURES)
    fit = minimize_scalar(lambda t: _nll(plain, scores, targets, math.exp(t)), bounds=(low, high), method="bounded")
    if fit.fun < nll_before:
        temperature, nll_after = math.exp(fit.x), float(fit.fun)
    calibrated = replace(plain, temperature=temperature)
    if task.problem_type == "multi_label_classification":
        thresholds = best_thresholds(probabilities(calibrated, outputs.numpy()), targets.numpy())
        calibrated = replace(calibrated, thresholds=thresholds)
    after = read_answers(calibrated, logits, labels)
    assert after is not None, "the same rows have targets"
    return calibrated, Calibration(
        rows=len(outputs),
        temperature=temperature,
        ece_before=CALIBRATION_ERROR.score(before),
        ece_after=CALIBRATION_ERROR.score(after),
        nll_before=nll_before,
        nll_after=nll_after,
        thresholds=calibrated.thresholds,
    )


def _nll(task: Task, logits: Tensor, targets: Tensor, temperature: float) -> float:
    r"""Mean over the targets of $-\log p$ of what is right, without class weights and smoothing."""
    scaled = logits / temperature
    if task.is_choice:
        return F.cross_entropy(scaled, targets).item()
    known = labelled(targets)
    return F.binary_cross_entropy_with_logits(scaled[known], targets[known]).item()
