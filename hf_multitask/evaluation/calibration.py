"""Temperatures and thresholds, fitted on a validation split.

Letters of the shapes: n answers, C labels.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from ..modeling.decoding import probabilities
from ..modeling.labels import labelled
from ..modeling.task import Task
from .answers import Answers, counted, read_answers
from .registry import CALIBRATION_ERROR
from .thresholds import best_thresholds

logger = logging.getLogger(__name__)

TEMPERATURES = (0.05, 20.0)
"""Between these a temperature is sought: without a wrong answer, the best one would be 0, and all certain."""


@dataclass(frozen=True)
class Calibration:
    """What calibration changed, on the split that it was fitted on.

    Args:
        rows: Number of texts, or tokens, with a target.
        temperature: What logits are now divided by; `None` where none is best, and the task's is 1.
        ece_before: Expected calibration error at temperature 1.
        ece_after: That at the task's temperature.
        nll_before: Negative log-likelihood of the targets at temperature 1: its mean over all targets.
        nll_after: That at the task's temperature, never above `nll_before`.
        thresholds: Per label, the probability from which on it is given, where a text may have any number of labels.
    """

    rows: int
    temperature: float | None
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
        if task.name in label_ids and task.has_classes:
            found = calibrate_task(task, predictions[task.name], label_ids[task.name])
            if found is not None:
                tasks[index], records[task.name] = found
    return tasks, records


def calibrate_task(task: Task, logits: ArrayLike, labels: ArrayLike) -> tuple[Task, Calibration] | None:
    """The task with its temperature, and its thresholds, fitted on (`logits`, `labels`) as in [`read_answers`].

    First the temperature of the least negative log-likelihood (Guo et al. 2017), then, on the probabilities with it,
    each label's threshold of the highest F1. `None` where there is no target, or the logits are no numbers.

    Where the likelihood is best at a bound of `TEMPERATURES`, the targets tell no temperature, and it is 1: without a
    wrong answer the lower the better; so it is of a model that has hardly learned, whose logits are nearly alike; and
    of answers that are no better than chance the higher the better.
    """
    plain = replace(task, temperature=1.0, thresholds=None)
    before = read_answers(plain, logits, labels)
    if before is None or not before.is_finite:
        return None
    outputs, targets, _ = counted(plain, logits, labels)
    scores = outputs.double()
    nll_at = partial(_nll, plain, scores, targets)
    nll_before, (nll_low, nll_high) = nll_at(1.0), map(nll_at, TEMPERATURES)
    low, high = map(math.log, TEMPERATURES)
    fit = minimize_scalar(lambda t: nll_at(math.exp(t)), bounds=(low, high), method="bounded")
    is_inside = fit.fun < min(nll_low, nll_high)
    if not is_inside:
        _report_no_temperature(before, at_low=nll_low < nll_high)
    is_better = is_inside and fit.fun < nll_before
    temperature = math.exp(fit.x) if is_better else 1.0
    calibrated = replace(plain, temperature=temperature)
    if task.problem_type == "multi_label_classification":
        thresholds = best_thresholds(probabilities(calibrated, outputs.numpy()), targets.numpy())
        calibrated = replace(calibrated, thresholds=thresholds)
    after = read_answers(calibrated, logits, labels)
    assert after is not None, "the same rows have targets"
    return calibrated, Calibration(
        rows=len(outputs),
        temperature=temperature if is_inside else None,
        ece_before=CALIBRATION_ERROR.score(before),
        ece_after=CALIBRATION_ERROR.score(after),
        nll_before=nll_before,
        nll_after=float(fit.fun) if is_better else nll_before,
        thresholds=calibrated.thresholds,
    )


def _report_no_temperature(answers: Answers, at_low: bool) -> None:
    known = answers.known
    wrong = int((answers.decided != answers.targets)[known].sum())
    logger.warning(
        "Task %r is not calibrated: the likelihood of its validation targets must be best at a temperature between %g "
        "and %g, found it best at %g (%d of %d answers are wrong). Its temperature is 1. %s.",
        *(answers.task.name, *TEMPERATURES, TEMPERATURES[0 if at_low else 1], wrong, known.sum()),
        "Train it longer, or add validation rows" if wrong else "Add validation rows, so that some answers are wrong",
    )


def _nll(task: Task, logits: Tensor, targets: Tensor, temperature: float) -> float:
    r"""Mean over the targets of $-\log p$ of what is right, without class weights and smoothing."""
    scaled = logits / temperature
    if task.is_choice:
        return F.cross_entropy(scaled, targets).item()
    known = labelled(targets)
    return F.binary_cross_entropy_with_logits(scaled[known], targets[known]).item()
