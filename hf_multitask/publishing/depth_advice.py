"""What to try, by where in the encoder the tasks disagree."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .agreement import Agreement, depth_of
from .wording import listed

DEFAULT_DECAY = 0.95


def advise_by_depth(
    by_depth: Mapping[str, Sequence[Agreement]],
    arguments: Mapping[str, Any],
    conflicts: Sequence[Agreement],
    headless: Sequence[str],
) -> Iterator[str]:
    """An idea for conflicts that are in the upper half of the encoder alone, in the lower half alone, or in both.

    Args:
        by_depth: Per group of parameters, from the bottom, what was measured.
        arguments: The training arguments that are known.
        conflicts: The pairs in conflict.
        headless: Of their tasks, those with a head without hidden layers.
    """
    places = {group for pair in conflicts for group in conflicting_groups(by_depth, pair.tasks)}
    seen = sorted(places, key=depth_of)
    if not seen:
        return
    layers = 1 + max((int(depth_of(group)) for group in by_depth if group.startswith("layers.")), default=0)
    lower = [group for group in seen if depth_of(group) < layers / 2]
    if not lower:
        told = f"the conflict is in {name_groups(seen)} alone, where freezing lower layers would not meet it"
        yield f"{_heads(headless) or 'no frozen layers'}, since {told}"
    elif len(lower) == len(seen):
        decay = arguments.get("layer_decay", DEFAULT_DECAY)
        yield (
            f"`freeze: [{', '.join(_up_to(lower[-1]))}]` or a `layer_decay` below {decay:g}, since the conflict is in "
            f"{name_groups(seen)} alone"
        )
    elif headless:
        yield f"{_heads(headless)}, though the conflict reaches down to {seen[0]}"


def conflicting_groups(by_depth: Mapping[str, Sequence[Agreement]], tasks: tuple[str, str]) -> list[str]:
    """The groups, from the bottom, in which two tasks are in conflict."""
    return [group for group, pairs in by_depth.items() if any(p.is_conflict and p.tasks == tasks for p in pairs)]


def name_groups(groups: Sequence[str]) -> str:
    """Groups from the bottom in words, layers that follow each other as a range."""
    runs: list[list[str]] = []
    for group in groups:
        follows = bool(runs) and group.startswith("layers.") and depth_of(group) - 1 == depth_of(runs[-1][-1]) >= 0
        runs = [*runs[:-1], [*runs[-1], group]] if follows else [*runs, [group]]
    return listed([run[0] if len(run) == 1 else f"{run[0]}-{int(depth_of(run[-1]))}" for run in runs])


def _up_to(group: str) -> list[str]:
    """The groups from the bottom up to this one, as `freeze` takes them."""
    top = int(depth_of(group))
    layers = {-1: [], 0: ["layers.0"]}.get(top, [f"layers.0-{top}"])
    return ["embeddings", *layers]


def _heads(names: Sequence[str]) -> str:
    return f"hidden layers in the heads of {listed(names)} (`head.hidden`)" if names else ""
