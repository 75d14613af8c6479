"""Which metrics there are for a task, which it is given by default, and by which it is judged."""

from dataclasses import replace

from ..modeling.entities import entity_types, is_bio
from ..modeling.task import Task
from . import class_metrics, number_metrics
from .averages import AVERAGES, SCORES, Counter, averaged, of_class
from .counts import count_classes, count_entities
from .hub_metric import HubMetric, load_hub_metric
from .metric import Metric

ACCURACY = Metric("accuracy", "Accuracy", True, class_metrics.accuracy)
CALIBRATION_ERROR = Metric("ece", "Calibration error", False, class_metrics.calibration_error)
EXACT_MATCH = Metric("exact_match", "Exact match", True, class_metrics.exact_match)
KAPPA = Metric("quadratic_kappa", "Quadratic kappa", True, class_metrics.quadratic_kappa)
MATTHEWS = Metric("matthews_correlation", "Matthews correlation", True, class_metrics.matthews_correlation)
RANK_ERROR = Metric("mae", "MAE (ranks)", False, class_metrics.mean_absolute_rank_error)

PEARSON = Metric("pearson", "Pearson", True, number_metrics.pearson)
SPEARMAN = Metric("spearman", "Spearman", True, number_metrics.spearman)
RMSE = Metric("rmse", "RMSE", False, number_metrics.root_mean_squared_error)
MAE = Metric("mae", "MAE", False, number_metrics.mean_absolute_error)
R2 = Metric("r2", "R²", True, number_metrics.explained_variance)
AVERAGE_PRECISION = Metric(
    "average_precision",
    "Average precision",
    True,
    number_metrics.average_precision,
    "targets that are the lowest or the highest score of the task's range",
    number_metrics.has_two_scores,
)

DEFAULTS: dict[str, tuple[str, ...]] = {
    "single_label_classification": ("f1_macro", "accuracy", "matthews_correlation"),
    "ordinal": ("quadratic_kappa", "accuracy", "mae"),
    "multi_label_classification": ("f1_macro", "f1_micro", "exact_match"),
    "token_classification": ("f1_macro", "accuracy"),
    "BIO": ("f1", "precision", "recall", "accuracy"),
    "regression": ("pearson", "spearman", "rmse", "mae", "r2"),
    "similarity": ("spearman", "pearson", "average_precision"),
}
"""Kind of task (BIO: of words whose labels are BIO tags) -> names of its metrics, the primary one first."""


def kind_of(task: Task) -> str:
    """Key of `DEFAULTS` for the task."""
    return "BIO" if task.reads_tokens and is_bio(task.labels) else task.problem_type


def known_metrics(task: Task) -> dict[str, Metric]:
    """By name, all metrics for the task that need no download."""
    kind = kind_of(task)
    found = [*_of_classes(task), CALIBRATION_ERROR] if task.has_classes else []
    match kind:
        case "single_label_classification" | "token_classification":
            found += [ACCURACY, MATTHEWS]
        case "ordinal":
            found += [ACCURACY, MATTHEWS, KAPPA, RANK_ERROR, SPEARMAN]
        case "multi_label_classification":
            found += [EXACT_MATCH]
        case "BIO":
            found += [ACCURACY]
        case "regression":
            found += [PEARSON, SPEARMAN, RMSE, MAE, R2]
        case "similarity":
            found += [PEARSON, SPEARMAN, AVERAGE_PRECISION]
    return {metric.name: metric for metric in found}


def _of_classes(task: Task) -> list[Metric]:
    """Precision, recall and F1 of each label, or type of entity, and averaged."""
    entities = kind_of(task) == "BIO"
    count: Counter = count_entities if entities else count_classes
    names = entity_types(task.labels) if entities else task.labels
    found = []
    for score in SCORES:
        for average in AVERAGES:
            metric = averaged(count, score, average)
            if entities and average == "micro":  # the one that is meant where none is named, as in seqeval
                metric = replace(metric, name=score, title=f"Entity {SCORES[score][0]}")
            found.append(metric)
        found += [of_class(count, score, name, index) for index, name in enumerate(names)]
    return found


def metrics_of(task: Task) -> list[Metric | HubMetric]:
    """The metrics to compute for a task, the primary one first.

    Raises:
        ValueError: One of them is neither known for this kind of task nor one that `evaluate` loads.
    """
    primary = primary_of(task)
    names = DEFAULTS[kind_of(task)] if task.metrics is None else task.metrics
    return [primary, *(_find(task, name) for name in dict.fromkeys(names) if name != primary.name)]


def primary_of(task: Task) -> Metric:
    """The metric by which a task is judged.

    Raises:
        ValueError: It is not one whose direction is known.
    """
    name = task.primary_metric or DEFAULTS[kind_of(task)][0]
    known = known_metrics(task)
    if name not in known:
        raise ValueError(
            f"Task {task.name!r}: primary_metric must be {_choices(task, name)}, found {name!r}. Choose one of these: "
            "of others it is not known whether higher or lower is better, so they can only be reported, by metrics."
        )
    return known[name]


def _find(task: Task, name: str) -> Metric | HubMetric:
    known = known_metrics(task)
    if name in known:
        return known[name]
    return load_hub_metric(task, name, _choices(task, name))


def _choices(task: Task, name: str) -> str:
    """What a metric called `name` could have been: of one class if it was meant to be, else of all."""
    known = known_metrics(task)
    score = name.partition(":")[0]
    of_one = [key for key in known if ":" in key]
    if ":" in name and score in SCORES and of_one:
        return f"one of {[key for key in of_one if key.startswith(f'{score}:')]}"
    more = f" or {of_one[0]!r} and the like" if of_one else ""
    return f"one of {[key for key in known if key not in of_one]}{more}"


def is_optional(task: Task, metric: Metric) -> bool:
    """Whether nobody asked for a metric by name, so that it may be missing where the targets do not admit it."""
    return metric.name not in (*(task.metrics or ()), primary_of(task).name)
