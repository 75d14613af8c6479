"""Metrics of the `evaluate` library, downloaded by name.

Letters of the shapes: n answers, C labels.
"""

import re
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any

import datasets
import evaluate
import numpy as np

from ..modeling.task import Task
from .answers import Answers


@dataclass(frozen=True)
class HubMetric:
    """A metric that `evaluate` computes from decisions and targets; whether higher is better, it does not say.

    Args:
        name: Its name there, or `<name>.<key>` for one of several values that it returns.
        module: What `evaluate.load` returned.
    """

    name: str
    module: Any

    def score(self, answers: Answers) -> float:
        """The metric of all rows; rows of which some values have no target do not count.

        Raises:
            ValueError: The metric does not take such answers, or returns more than one value.
        """
        decided, targets = _inputs(answers, self.module)
        try:
            result = self.module.compute(predictions=decided, references=targets)
        except Exception as error:  # whatever a foreign metric raises
            task = answers.task
            raise ValueError(
                f"Task {task.name!r}: the metric {self.name!r} of evaluate must take the decisions and targets of "
                f"{task.problem_type!r}, found: {error}. Leave it out, or compute it in a compute_metrics of your own."
            ) from error
        return _single_value(self.name, result)


def load_hub_metric(task: Task, name: str, choices: str) -> HubMetric:
    """The metric of `evaluate` called `name`, tried on perfect answers.

    Only `evaluate`'s own metrics: a task's description may come with a stranger's checkpoint, and a name with a slash
    would run code of anyone's.

    Args:
        task: The task that it is for.
        name: `<name>` or `<name>.<key>`.
        choices: What else the name could be, for the error.

    Raises:
        ValueError: There is none that could be loaded and takes the task's answers.
    """
    where = f"Task {task.name!r}: a metric must be {choices}, or one of the evaluate library's own"
    if not re.fullmatch(r"\w+(\.\w+)?", name):
        raise ValueError(f"{where}, found {name!r}. Choose one of these.")
    config = "multilabel" if task.problem_type == "multi_label_classification" else None
    if task.problem_type == "regression" and task.num_labels > 1:
        config = "multilist"
    try:
        module = _load(name.partition(".")[0], config)
    except Exception as error:  # no network, no such metric, a package that it needs: all the same here
        raise ValueError(
            f"{where}, found {name!r}, which evaluate cannot load: {' '.join(str(error).split())} Choose one of these, "
            "or go online."
        ) from error
    metric = HubMetric(name, module)
    metric.score(_perfect_answers(task))
    return metric


@cache
def _load(name: str, config: str | None) -> Any:
    return evaluate.load(name, config_name=config, module_type="metric", keep_in_memory=True)


def _inputs(answers: Answers, module: Any) -> tuple[list[Any], list[Any]]:
    """Predictions and references in the form that metrics of the Hub take.

    Class indices; rows of 0 and 1 for several labels; numbers, or rows of numbers. Of words, each text's labels by
    name where the metric takes sequences, as seqeval and poseval do.
    """
    task, decided, targets = answers.task, answers.decided, answers.targets
    if not task.is_choice:
        whole = answers.known.all(axis=-1)
        decided, targets = decided[whole], targets[whole]
        if task.problem_type == "multi_label_classification":
            targets = targets.astype(np.int64)
        elif decided.shape[-1] == 1:
            decided, targets = decided[:, 0], targets[:, 0]
    elif task.reads_tokens and _takes_sequences(module):
        cuts = np.flatnonzero(np.diff(answers.rows)) + 1
        named = [np.array(task.labels)[indices] for indices in (decided, targets)]
        decided_rows, target_rows = ([row.tolist() for row in np.split(names, cuts)] for names in named)
        return decided_rows, target_rows
    return decided.tolist(), targets.tolist()


def _takes_sequences(module: Any) -> bool:
    features = module.features[0] if isinstance(module.features, list) else module.features
    return not isinstance(features.get("predictions"), datasets.Value)


def _single_value(name: str, result: Any) -> float:
    """The one number in what a metric returned."""
    if isinstance(result, Real):
        return float(result)
    name, _, key = name.partition(".")
    values = {k: float(value) for k, value in dict(result or {}).items() if isinstance(value, Real)}
    wanted = key or (next(iter(values)) if len(values) == 1 else name)
    if wanted in values:
        return values[wanted]
    raise ValueError(
        f"The metric {name!r} of evaluate must return one number called {wanted!r}, found {sorted(values)}. Name "
        f"one of these, as in {name}.{min(values, default='key')}."
    )


def _perfect_answers(task: Task) -> Answers:
    """Each label once, or three numbers, all answered right."""
    count = task.num_labels
    if task.is_choice:
        right: Any = np.arange(count)
        rows = np.zeros(count, dtype=np.int64) if task.reads_tokens else right
    elif task.problem_type == "multi_label_classification":
        right = np.concatenate([np.eye(count, dtype=np.int64), np.ones((1, count), dtype=np.int64)])
        return Answers(task, right, right.astype(np.float64), np.arange(len(right)))
    else:
        right = np.tile(np.array([[0.0], [0.5], [1.0]]), (1, count))
        rows = np.arange(len(right))
    return Answers(task, right, right, rows)
