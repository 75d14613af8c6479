"""What sharing an encoder did to each task, as tables and in words."""

from collections.abc import Sequence
from statistics import fmean

from ..tables import format_table
from .setup import duration
from .transfer_record import GAINED, LOST, OPEN, Costs, Difference, TaskTransfer, TransferRecord

MARKS = {GAINED: " ↑", LOST: " ↓", OPEN: ""}
"""Behind a difference whose interval is on one side of 0."""


def describe_transfer(transfer: TransferRecord) -> str:
    """All of it, for a terminal."""
    parts = [
        transfer_table(transfer),
        "\n".join(verdicts(transfer)),
        pair_table(transfer),
        cost_table(transfer),
        "\n".join(transfer_sentences(transfer)),
    ]
    return "\n\n".join(part for part in parts if part)


def transfer_table(transfer: TransferRecord) -> str:
    """Per task, the mean scores of both models and their difference with its interval."""
    rows = [
        [
            task.task,
            metric_title(task),
            fmean(task.single),
            fmean(task.shared),
            _difference(task.difference),
            task.difference.verdict,
            f"{task.rows:,}",
            _examples(task),
        ]
        for task in transfer.tasks
    ]
    header = [
        "does sharing help?",
        f"metric, {transfer.split}",
        "single-task",
        "multi-task",
        "difference [95 %]",
        "verdict",
    ]
    return format_table([*header, "rows", "examples"], rows)


def verdicts(transfer: TransferRecord) -> list[str]:
    """Which tasks gained, which lost, and which cannot be told apart; a sentence each."""
    titles = {GAINED: "Gained by sharing", LOST: "Lost by sharing", OPEN: "Cannot be told apart"}
    return [
        f"{title}: {', '.join(_named(task) for task in transfer.tasks if task.difference.verdict == verdict) or 'none'}"
        for verdict, title in titles.items()
    ]


def transfer_sentences(transfer: TransferRecord) -> list[str]:
    """How it was measured, and what must be known to read it."""
    count = len(transfer.seeds)
    seeds = ", ".join(map(str, transfer.seeds))
    sentences = []
    if count > 1:
        sentences.append(
            f"Intervals are of the mean over the seeds {seeds}: by 1,000 paired resamples of the rows, and by "
            f"Student's t for what {count} seeds leave open of chance in training."
        )
    else:
        sentences.append(
            f"Intervals are of one seed, {seeds}, by 1,000 paired resamples of the rows: what chance does in training "
            "is not in them."
        )
    if len(transfer.tasks) > 1:
        sentences.append("Of twenty such intervals about one misses the truth by chance.")
    sentences.append(
        "A single-task run sees only rows with a target of its task: where not every row has one, it makes fewer steps "
        "than the shared run."
    )
    sentences.append("Times are medians over the seeds, of optimizer steps and of answers alone.")
    if transfer.stopped_early:
        sentences.append(
            "Each run could end, or choose its checkpoint, by its own validation scores; where a single task of a run "
            "can stop before the others, it has learnt from the examples that are told at most."
        )
    if transfer.split != "test":
        sentences.append("There is no test split: the validation split may have been looked at.")
    if transfer.groups:
        sentences.append(_groups(transfer))
    elif any(task.beside for task in transfer.tasks):
        sentences.append("No groups are proposed, because the outputs of a model are no numbers.")
    return sentences


def pair_table(transfer: TransferRecord) -> str:
    """Per task, what a model of it and another gave it, against a model of it alone; empty without pairs.

    An arrow says where an interval is on one side of 0: up for gained, down for lost.
    """
    if not any(task.beside for task in transfer.tasks):
        return ""
    names = [task.task for task in transfer.tasks]
    rows = []
    for task in transfer.tasks:
        found = [*(task.beside.get(name) for name in names), task.difference]
        rows.append([task.task, *("-" if one is None else f"{one.mean:+.4f}{MARKS[one.verdict]}" for one in found)])
    return format_table(["trained beside", *names, "all"], rows)


def cost_table(transfer: TransferRecord) -> str:
    """What one shared model costs, and all single-task models together."""
    both = (transfer.shared, transfer.single)
    rows = [
        ["training", *(_training(costs) for costs in both), _times(*(costs.training for costs in both))],
        [
            f"answers to all tasks, {transfer.shared.texts:,} texts",
            *(_seconds(costs.answering) for costs in both),
            _times(*(costs.answering for costs in both)),
        ],
        ["parameters", *(f"{costs.parameters:,}" for costs in both), _times(*(costs.parameters for costs in both))],
        ["weights", *(f"{costs.size / 1e6:,.1f} MB" for costs in both), _times(*(costs.size for costs in both))],
    ]
    models = f"{transfer.single.models} single-task model{'s' * (transfer.single.models > 1)}"
    return format_table(["costs", "one shared model", models, "factor"], rows)


def metric_title(task: TaskTransfer) -> str:
    """The title of the task's metric, with an arrow that says which way is good."""
    return f"{task.title} {'↑' if task.higher_is_better else '↓'}"


def _difference(found: Difference) -> str:
    return f"{found.mean:+.4f}{_interval(found)}"


def _interval(found: Difference) -> str:
    return "" if found.interval is None else f" [{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"


def _named(task: TaskTransfer) -> str:
    return f"{task.task} ({task.title} {_difference(task.difference)})"


def _examples(task: TaskTransfer) -> str:
    """How many examples of the task each model saw; both numbers where whole batches make them differ."""
    if task.examples == task.examples_single:
        return f"{task.examples:,}"
    return f"{task.examples_single:,} alone, {task.examples:,} shared"


def _training(costs: Costs) -> str:
    return "-" if costs.training is None else _seconds(costs.training)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else duration(seconds)


def _times(shared: float | None, single: float | None) -> str:
    """How many times as much all single-task models cost."""
    return f"{single / shared:.2f}" if shared and single else "-"


def _groups(transfer: TransferRecord) -> str:
    groups = "; ".join(_listed(group) for group in transfer.groups)
    how = "the best of all partitions" if transfer.groups_exact else "joined by average linkage"
    return (
        f"By these pairs, tasks would be trained in the groups {groups} ({how}; estimated "
        f"to give {100 * transfer.groups_gain:+.2f} on average, in points of a score and percent of an error): a "
        "proposal that was not trained."
    )


def _listed(group: Sequence[str]) -> str:
    return f"{{{', '.join(group)}}}"
