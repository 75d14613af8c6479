"""What a model answers and how well, at a glance."""

from collections.abc import Sequence

from ..modeling.task import Task
from ..tables import format_table
from .result_tables import SPLITS, metric_header, score_cell
from .run_record import ReportedMetric, RunRecord

MOST_LABELS = 6
"""Of so many labels of a task the names are told."""


def headline_table(record: RunRecord) -> str:
    """Per task, what it tells of a text, its possible answers, and its primary metric on the last split with scores.

    Columns that would be empty are left out.
    """
    split = record.last_split
    primary = {task.name: next(iter(scores.items())) for task, scores in record.scores(split)}
    metrics = {metric for metric, _ in primary.values()}
    columns = {
        "what it tells": [task.description for task in record.tasks],
        "answers": list(map(answers, record.tasks)),
    }
    if primary:
        alike = len(metrics) == 1
        header = f"{metric_header(*metrics)}, {SPLITS[split]}" if alike else f"score, {SPLITS[split]}"
        columns[header] = [
            _score(record, task, *primary[task.name], alike) if task.name in primary else "-" for task in record.tasks
        ]
    used = {name: cells for name, cells in columns.items() if any(cells)}
    rows = zip((f"**{task.name}**" for task in record.tasks), *used.values(), strict=True)
    return format_table(["task", *used], list(rows))


def answers(task: Task) -> str:
    """What a task may answer, in words."""
    if task.problem_type == "similarity":
        return "cosine of two texts"
    labels = _first(task.labels)
    if task.problem_type == "regression":
        return f"numbers: {labels}" if labels else "a number"
    before = {
        "ordinal": "in order: ",
        "multi_label_classification": "any of: ",
        "token_classification": "for each word: ",
    }
    return before.get(task.problem_type, "") + labels


def _first(labels: Sequence[str]) -> str:
    """The first labels, and how many more there are."""
    told = labels if len(labels) <= MOST_LABELS + 1 else labels[:MOST_LABELS]
    more = [f"{len(labels) - len(told)} more"] if len(told) < len(labels) else []
    return ", ".join([*told, *more])


def _score(record: RunRecord, task: Task, metric: ReportedMetric, value: float, alike: bool) -> str:
    cell = score_cell(record, record.last_split, task, metric, value)
    return cell if alike else f"{metric_header(metric)} {cell}"
