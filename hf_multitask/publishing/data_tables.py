"""What a run learnt from, and how, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ..modeling.task import Task
from ..tables import format_table
from .run_record import RunRecord

MOST_LABELS = 10
"""Of so many labels of a task the rows are told one by one."""

MOST_LISTED = 200
"""Of so many labels of a task the rows are told in a list of its own."""

TOLD_ELSEWHERE = ("name", "problem_type", "labels", "metrics", "primary_metric", "description")


def task_table(record: RunRecord) -> str:
    """Each task's kind, number of labels, datasets and settings that differ from the default, as far as there are any.

    What was fitted is not among the settings: it is told where the calibration is.
    """
    rows = []
    for task in record.tasks:
        fitted = ("temperature", "thresholds") if task.name in record.calibration else ()
        kind = task.problem_type.replace("_", " ")
        datasets = ", ".join(record.task_datasets.get(task.name, record.sizes))
        rows.append([task.name, kind, len(task.labels) or "-", datasets, _settings(task, fitted)])
    told = [column for column in range(5) if any(row[column] for row in rows)]
    header = ["task", "kind", "labels", "rows from", "settings"]
    return format_table([header[column] for column in told], [[row[column] for column in told] for row in rows])


def size_table(record: RunRecord, links: bool = False) -> str:
    """The rows of each dataset and split, and where they came from, maybe with links to the Hub."""
    sources = dict(record.sources)
    if links:
        url = "https://huggingface.co/datasets/"
        sources |= {name: f"[{sources[name]}]({url}{sources[name]})" for name in record.hub_datasets}
    splits = _splits(record)
    rows = [
        [name, *(sizes.get(split, 0) for split in splits), sources[record.dataset_of(name)]]
        for name, sizes in record.sizes.items()
    ]
    return format_table(["rows of", *splits, "from"], rows)


def label_table(record: RunRecord) -> str:
    """The rows (or words) that each label has in each split, of many labels those with most training rows.

    Empty where no task has labels.
    """
    splits = list(record.label_counts)
    rows: list[list[object]] = []
    for task in record.tasks:
        counts = {
            label: [record.label_counts[split][task.name][label] for split in splits]
            for label in task.labels
            if splits and task.name in record.label_counts[splits[0]]
        }
        told = (
            sorted(counts, key=lambda label: -counts[label][0])[:MOST_LABELS]
            if len(counts) > MOST_LABELS + 1
            else counts
        )
        rows += [[f"{task.name}: {label}", *counts[label]] for label in told]
        if others := [counts[label] for label in counts if label not in told]:
            rows.append([f"{task.name}: {len(others)} more", *(sum(column) for column in zip(*others, strict=True))])
    return format_table(["labelled", *splits], rows) if rows else ""


def full_label_tables(record: RunRecord) -> dict[str, str]:
    """Per task of whose labels [`label_table`] tells the first, a table of all; of too many labels none."""
    tables = {}
    for task in record.tasks:
        splits = [split for split, counts in record.label_counts.items() if task.name in counts]
        if splits and MOST_LABELS + 1 < len(task.labels) <= MOST_LISTED:
            counts = [record.label_counts[split][task.name] for split in splits]
            rows = [[label, *(count[label] for count in counts)] for label in task.labels]
            tables[task.name] = format_table([f"labels of {task.name}", *splits], rows)
    return tables


def number_table(record: RunRecord) -> str:
    """What the targets that are numbers are like in each split; empty where no task has any."""
    rows: list[list[object]] = []
    columns: dict[str, None] = {}
    found: list[tuple[str, Mapping[str, float]]] = []
    for task in record.tasks:
        for split, summaries in record.target_summaries.items():
            for name, summary in summaries.get(task.name, {}).items():
                what = task.name if name == task.name else f"{task.name}: {name}"
                found.append((f"{what}, {split}", summary))
                columns |= dict.fromkeys(summary)
    rows = [[what, *(_number(summary[key]) if key in summary else "-" for key in columns)] for what, summary in found]
    return format_table(["targets of", *columns], rows) if rows else ""


def mixing_table(record: RunRecord) -> str:
    """The rows that an epoch draws from each dataset: of every epoch, or of the first and the last if they differ."""
    if not record.epoch_rows:
        return ""
    first, last = record.epoch_rows[0], record.epoch_rows[-1]
    if all(rows == first for rows in record.epoch_rows):
        return format_table(["dataset", "rows per epoch"], [[name, rows] for name, rows in first.items()])
    header = ["dataset", "rows of epoch 1", f"rows of epoch {len(record.epoch_rows)}"]
    return format_table(header, [[name, rows, last[name]] for name, rows in first.items()])


def group_table(record: RunRecord) -> str:
    """The parameter groups with their learning rates; those that differ in their weight decay alone are one row."""
    alike: dict[tuple[str, float], dict[float, int]] = {}
    for name, size, rate, decay in record.groups:
        sizes = alike.setdefault((name, rate), {})
        sizes[decay] = sizes.get(decay, 0) + size
    rows = []
    for (name, rate), sizes in alike.items():
        most, *others = sorted(sizes, key=lambda decay: -sizes[decay])
        decays = [f"{most:g}", *(f"({other:g} for {sizes[other]:,})" for other in others)]
        rows.append([name, f"{sum(sizes.values()):,}", f"{rate:.4g}", " ".join(decays)])
    return format_table(["group", "parameters", "learning rate", "weight decay"], rows)


def _splits(record: RunRecord) -> list[str]:
    """All splits that a dataset has, in the order of train, validation and test."""
    return list(dict.fromkeys([*record.label_counts, *(split for sizes in record.sizes.values() for split in sizes)]))


def _settings(task: Task, fitted: Sequence[str]) -> str:
    told = []
    for setting in fields(task):
        value = getattr(task, setting.name)
        if setting.name in (*TOLD_ELSEWHERE, *fitted) or value == setting.default:
            continue
        if setting.name == "head":
            default = type(value)()
            parts = {key: part for key, part in asdict(value).items() if part != getattr(default, key)}
            told.append("head " + " and ".join(f"{key} {_short(part)}" for key, part in parts.items()))
        else:
            told.append(f"{setting.name.replace('_', ' ')} {_short(value)}")
    return "; ".join(told)


def _short(value: Any) -> str:
    """A number, or a few of them, or from where to where many of them go."""
    if not isinstance(value, tuple):
        return _number(value)
    if len(value) > MOST_LABELS:
        return f"{_number(min(value))} to {_number(max(value))}"
    return " ".join(_number(number) for number in value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
