"""How good each task is, as tables."""

from collections.abc import Sequence

from ..modeling.task import Task
from ..tables import format_table, four_digits
from .run_record import LOSS, ReportedMetric, RunRecord

PREFIXES = {"train": "train", "validation": "eval", "test": "test"}
"""Split -> the prefix of its results, Hugging Face's."""

SPLITS = {prefix: split for split, prefix in PREFIXES.items()}
"""Prefix of a split's results -> how the split is called."""

MOST_CLASSES = 15
"""Tasks with more labels have figures and csv files, and no table of each label."""


def describe_scores(record: RunRecord, split: str) -> str:
    """Tables of each task's scores on `split`, one per set of metrics, the primary metric first.

    Intervals stand behind the scores of the last split where the record has them; last, average and worst of the tasks.
    """
    alike: dict[tuple[ReportedMetric, ...], list[list[object]]] = {}
    for task, scores in record.scores(split):
        row: list[object] = [task.name]
        for metric, score in scores.items():
            row.append(score_cell(record, split, task, metric, score))
        alike.setdefault(tuple(scores), []).append(row)
    tables = [
        format_table([f"{SPLITS[split]} scores", *(metric_header(metric) for metric in metrics)], rows)
        for metrics, rows in alike.items()
    ]
    results = record.results.get(split, {})
    count = sum(any(metric != LOSS for metric in scores) for _, scores in record.scores(split))
    if count > 1 and {f"{split}_average", f"{split}_worst"} <= results.keys():
        average, worst = results[f"{split}_average"], results[f"{split}_worst"]
        whose = "all tasks" if count == len(record.tasks) else f"the {count} tasks with rows there"
        tables.append(
            f"Primary metrics of {whose}: {four_digits(average)} on average, by loss weight; the worst is "
            f"{four_digits(worst)}."
        )
    return "\n\n".join(tables)


def score_cell(record: RunRecord, split: str, task: Task, metric: ReportedMetric, score: float) -> str:
    """A score, with its interval behind it where the record has one of this split."""
    interval = record.intervals.get(f"{task.name}_{metric.name}") if split == record.last_split else None
    return four_digits(score) + (f" [{', '.join(map(four_digits, interval))}]" if interval else "")


def earlier_table(record: RunRecord) -> str:
    """Each metric of the earlier model's tasks before and after, on the test split or, without rows there, validation.

    Empty where none of them was scored.
    """
    rows: dict[str, list[object]] = {}
    for split in ("test", "eval"):
        after = {task.name: scores for task, scores in record.scores(split)}
        for task, scores in record.scores(split, before=True):
            for metric, score in scores.items():
                if metric in after.get(task.name, ()):  # of a run under way there is no after
                    row = [f"{task.name}: {metric_header(metric)}", SPLITS[split], score, after[task.name][metric]]
                    rows.setdefault(f"{task.name}_{metric.name}", row)
    return format_table(["earlier task", "split", "before", "after"], list(rows.values())) if rows else ""


def metric_header(metric: ReportedMetric) -> str:
    """The metric's title with an arrow that says which way is good, where that is known and not plain."""
    if metric == LOSS or metric.higher_is_better is None:
        return metric.title
    return f"{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def calibration_table(record: RunRecord) -> str:
    """Per calibrated task, its temperature, and its calibration error and likelihood before and after.

    Empty where there is none.
    """
    rows = [
        [name, f"{found['temperature']:.4g}", *(float(found[key]) for key in _CALIBRATION)]
        for name, found in record.calibrated.items()
    ]
    return format_table(["task", "temperature", *_CALIBRATION.values()], rows) if rows else ""


_CALIBRATION = {"ece_before": "ECE before", "ece_after": "ECE", "nll_before": "NLL before", "nll_after": "NLL"}


def threshold_tables(record: RunRecord) -> str:
    """Per task whose thresholds were fitted, the probability from which on each label is given."""
    tables = []
    for task in record.tasks:
        thresholds: Sequence[float] | None = record.calibration.get(task.name, {}).get("thresholds")
        if thresholds:
            rows = list(zip(task.labels, map(float, thresholds), strict=True))
            tables.append(format_table([task.name, "given from"], rows))
    return "\n\n".join(tables)


def class_table(record: RunRecord, task: str) -> str:
    """How well each label of a task is found; empty where the labels are too many to read."""
    classes = record.per_class.get(task, {})
    if not 0 < len(classes) <= MOST_CLASSES:
        return ""
    rows = [
        [label, *(float(scores[key]) for key in ("precision", "recall", "f1")), int(scores["support"])]
        for label, scores in classes.items()
    ]
    return format_table([task, "precision", "recall", "F1", "support"], rows)
