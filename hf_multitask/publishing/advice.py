"""What a run tells of conflicts between its tasks: what was found, what was tried, what to try next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from ..modeling.task import Task
from .agreement import Agreement, agreements, agreements_by_depth
from .depth_advice import advise_by_depth, conflicting_groups, name_groups
from .run_record import RunRecord
from .transfer_record import GAINED, LOST
from .wording import listed

STRONG = -0.1
"""A mean cosine below this is called strong: on single batches noise pulls all cosines towards 0."""

MOST_NAMED = 3
"""Of so many pairs the names are told, and so many things to try."""

DOMINATES = 4
"""A task dominates where its weighted loss is on average so many times as large as the next largest."""

UNEQUAL = 10
"""Datasets are unequal where the largest has so many times the training rows of the smallest."""

LITERATURE = "the plain sum with tuned weights is hard to beat (Kurin et al. 2022; Xin et al. 2022)"


def advise(record: RunRecord) -> list[str]:
    """Three sentences; none where no conflict was looked for."""
    pairs = agreements(record)
    if not pairs:
        return []
    by_depth = agreements_by_depth(record)
    places = {pair.tasks: conflicting_groups(by_depth, pair.tasks) for pair in pairs}
    conflicts = [pair for pair in pairs if pair.is_conflict or places[pair.tasks]]
    return [_found(pairs, conflicts, places), _tried(record), _next(record, pairs, conflicts)]


def _found(
    pairs: Sequence[Agreement], conflicts: Sequence[Agreement], places: Mapping[tuple[str, str], Sequence[str]]
) -> str:
    if conflicts:
        named = "; ".join(
            f"{' and '.join(pair.tasks)} (mean {_numbers(pair)}, below 0 in {pair.share_below:.0%} of "
            f"{len(pair.steps)} steps, {_number(pair.last_quarter)} in the last quarter"
            f"{f', by depth in {name_groups(places[pair.tasks])}' if places[pair.tasks] else ''})"
            for pair in conflicts[:MOST_NAMED]
        )
        more = len(conflicts) - MOST_NAMED
        return f"In conflict by the cosine of their gradients: {named}{f'; and {more} more' if more > 0 else ''}."
    lowest = pairs[0]
    return (
        "No two tasks are known to be in conflict: no interval of a mean cosine lies below 0 (the lowest mean is that "
        f"of {' and '.join(lowest.tasks)}, {_numbers(lowest)}, over {len(lowest.steps)} steps)."
    )


def _tried(record: RunRecord) -> str:
    tried = list(_measures(record))
    if tried:
        sentence = f"Tried in this run: {', '.join(tried)}; only a run without can show what that did"
    else:
        mixed = ", proportional mixing" if record.mixing else ""
        sentence = f"Tried in this run: the plain sum of the losses, equal weights{mixed}, nothing frozen"
    return f"{sentence}{_compared(record)}."


def _measures(record: RunRecord) -> Iterator[str]:
    """What of the run is not the default and bears on conflicts."""
    balancing = record.arguments.get("balancing", "sum")
    if balancing != "sum":
        yield f"balancing by {balancing}"
    if record.mixing not in ("", "proportional"):
        yield f"mixing by {record.mixing}"
    if weights := [f"{task.name} {task.loss_weight:g}" for task in record.tasks if task.loss_weight != 1]:
        yield f"loss weights ({', '.join(weights)})"
    if frozen := record.arguments.get("freeze"):
        yield f"freezing ({frozen if isinstance(frozen, str) else ', '.join(frozen)})"
    if steps := record.arguments.get("gradual_unfreezing_steps"):
        yield f"gradual unfreezing (every {steps} steps)"
    if own := [task.name for task in record.tasks if _has_hidden(task)]:
        yield f"hidden layers in the heads ({', '.join(own)})"


def _compared(record: RunRecord) -> str:
    """What the comparison with models of single tasks says, where there was one."""
    transfer: Any = record.transfer
    if transfer is None:
        return ""
    if not (lost := _told(record, LOST)):
        return "; beside models of single tasks, none is known to have lost by sharing"
    return f"; beside models of single tasks, {listed(lost)} lost by sharing"


def _told(record: RunRecord, verdict: str) -> list[str]:
    """The tasks of which the comparison with models of single tasks says so; none without one."""
    transfer: Any = record.transfer
    return [] if transfer is None else [found.task for found in transfer.tasks if found.difference.verdict == verdict]


def _next(record: RunRecord, pairs: Sequence[Agreement], conflicts: Sequence[Agreement]) -> str:
    if conflicts:
        ideas = "; ".join(list(_ideas(record, conflicts))[:MOST_NAMED])
        return f"To try next, with no promise that it helps: {ideas}; whatever is tried, {LITERATURE}."
    is_open = any(pair.interval is None or pair.interval[0] < STRONG for pair in pairs)
    if lost := _told(record, LOST):
        more = "; measured at more steps (a smaller `conflict_steps`), one may be found" if is_open else ""
        return f"To try next: {_own(lost)}, known to have lost by sharing, though no known conflict tells why{more}."
    if is_open:
        return (
            f"The intervals leave a conflict open, so measure at more steps (a smaller `conflict_steps`) before "
            f"changing anything; until then, {LITERATURE}."
        )
    balancing = record.arguments.get("balancing", "sum")
    if balancing != "sum":
        return (
            f"As far as this tells there is nothing that needs balancing by {balancing}, and only a run with "
            f"`balancing: sum` can show whether that helps: {LITERATURE}."
        )
    return f"The plain sum is fine as far as this tells, and nothing needs to be tried: {LITERATURE}."


def _ideas(record: RunRecord, conflicts: Sequence[Agreement]) -> Iterator[str]:
    """What to try, each bound to what was seen, the most telling first."""
    lasting = [pair for pair in conflicts if pair.mean < STRONG and pair.last_quarter < STRONG]
    involved = [task.name for task in record.tasks if any(task.name in pair.tasks for pair in conflicts)]
    lost = _told(record, LOST)
    by_depth = agreements_by_depth(record)
    headless = [task.name for task in record.tasks if task.name in involved and task.has_head and not _has_hidden(task)]
    if not (lasting or lost):
        yield f"leaving it as it is, since no conflict is both strong (below {STRONG}) and lasting"
    if hurt := [name for name in lost if name in involved]:
        yield f"{_own(hurt)}, in conflict and known to have lost by sharing"
    elif lasting:
        yield _separated(lasting, _told(record, GAINED))
    if others := [name for name in lost if name not in involved]:
        yield f"{_own(others)}, known to have lost by sharing, though no known conflict tells why"
    yield from advise_by_depth(by_depth, record.arguments, conflicts, headless)
    if lasting and not by_depth:
        if headless:
            yield f"hidden layers in the heads of {listed(headless)} (`head.hidden`)"
        yield "`conflict_by_depth`, which tells in which layers"
    yield from _unequal(record, involved)


def _separated(lasting: Sequence[Agreement], gained: Sequence[str]) -> str:
    """What to do with tasks in strong and lasting conflicts, of which none is known to have lost by sharing."""
    counts = Counter(name for pair in lasting for name in pair.tasks)
    apart = [name for name in counts if name not in gained]
    if len(lasting) == 1 and len(apart) == len(counts):
        return f"separate models for {listed(lasting[0].tasks)}, whose conflict is strong and lasting"
    if len(lasting) == 1 or not apart:
        kept = [name for name in counts if name in gained]
        return (
            f"keeping {listed(list(counts))} together, since {listed(kept)} gained by sharing in spite of the conflict"
        )
    most = max(apart, key=lambda name: counts[name])
    return f"{_own([most])}, in {counts[most]} of the {len(lasting)} strong and lasting conflicts"


def _own(names: Sequence[str]) -> str:
    return f"a model of its own for {'each of ' * (len(names) > 1)}{listed(names)}"


def _unequal(record: RunRecord, involved: Sequence[str]) -> Iterator[str]:
    """What to try where one task's loss, or one dataset, outweighs the others."""
    losses = {task.name: _mean_loss(record, task) for task in record.tasks}
    ranked = sorted(losses, key=lambda name: -losses[name])
    if len(ranked) > 1 and ranked[0] in involved and losses[ranked[0]] >= DOMINATES * losses[ranked[1]] > 0:
        factor = losses[ranked[0]] / losses[ranked[1]]
        yield f"a smaller `loss_weight` for {ranked[0]}, whose weighted loss is {factor:.0f} times the next largest"
    sizes = {name: counts["train"] for name, counts in record.sizes.items() if counts.get("train")}
    if record.mixing == "proportional" and max(sizes.values(), default=0) >= UNEQUAL * min(sizes.values(), default=1):
        large, small = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        yield (
            f"`mixing` by temperature, since {large} has {sizes[large] / sizes[small]:.0f} times the training rows of "
            f"{small}"
        )


def _mean_loss(record: RunRecord, task: Task) -> float:
    found = [float(line[f"loss/{task.name}"]) for line in record.log_history if f"loss/{task.name}" in line]
    return task.loss_weight * fmean(found) if found else 0.0


def _has_hidden(task: Task) -> bool:
    return bool(task.head.hidden)


def _numbers(pair: Agreement) -> str:
    if pair.interval is None:
        return f"{_number(pair.mean)} with no interval"
    return f"{_number(pair.mean)}, interval {' to '.join(map(_number, pair.interval))}"


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"
