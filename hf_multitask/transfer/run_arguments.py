"""The training arguments of a model that is trained for a comparison: those of the shared run, to the same end."""

import copy
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ..training.arguments import MultiTaskTrainingArguments
from ..training.schedule import follows_evaluations

OF_SEVERAL_TASKS = {"balancing": "sum", "conflict_steps": None, "conflict_by_depth": False}
"""Arguments of what lies between tasks, which a single one has no use for -> what they are then."""

OF_ALL_TASKS = ("loss", "average", "worst")
"""What the best checkpoint can be chosen by in every run."""

SCHEDULER_STEPS = ("num_decay_steps", "num_stable_steps", "timescale")
"""Those of `lr_scheduler_kwargs` that are told in steps of the run."""

UNTOLD = ("output_dir", "run_name", "report_to", "project", "trackio", "disable_tqdm", "resume_from_checkpoint")
UNTOLD_PREFIXES = ("logging_", "log_", "hub_", "push_", "save_", "dataloader_num", "dataloader_pin", "dataloader_pers")
"""Arguments, and beginnings of arguments, that no weight depends on."""


def evaluates(args: MultiTaskTrainingArguments) -> bool:
    """Whether the evaluations of a run decide what becomes of its model."""
    return bool(args.load_best_model_at_end or args.task_patience or follows_evaluations(args))


def check_arguments(args: MultiTaskTrainingArguments) -> None:
    """Raise unless every run of a comparison can be trained by the same rules.

    Raises:
        ValueError: There are several processes, or evaluations decide in a way that other runs cannot follow.
    """
    if args.world_size > 1:
        raise ValueError(
            f"compare_single_task needs one process, found {args.world_size}. Start without `accelerate launch`, or "
            "leave it out."
        )
    if not evaluates(args):
        return
    if args.eval_strategy != IntervalStrategy.EPOCH:
        raise ValueError(
            "compare_single_task needs eval_strategy: epoch where evaluations choose the checkpoint, end a run or set "
            f"its learning rate, found {IntervalStrategy(args.eval_strategy).value!r}: runs of other tasks have other "
            "numbers of steps. Write eval_strategy: epoch and save_strategy: epoch."
        )
    chosen_by = (args.metric_for_best_model or "loss").removeprefix("eval_")
    if chosen_by not in OF_ALL_TASKS:
        raise ValueError(
            f"compare_single_task needs a metric_for_best_model that every run has, one of {list(OF_ALL_TASKS)}, found "
            f"{chosen_by!r}. Choose one of these."
        )


def run_arguments(
    args: MultiTaskTrainingArguments, tasks: Sequence[str], seed: int, steps: int, shared_steps: int, folder: Path
) -> MultiTaskTrainingArguments:
    """Arguments for a run of its own that keeps nothing, logs nothing and pushes nothing.

    What is told in steps, of warm-up, of what else the learning rate does and of unfreezing, takes the same share of
    the run.

    Args:
        args: Those of the shared run.
        tasks: Names of the tasks that this one trains.
        seed: What is added to the seed.
        steps: How many steps it makes.
        shared_steps: How many the shared run makes.
        folder: For what it has to write meanwhile.
    """
    own = copy.copy(args)
    changed: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": args.seed + seed,
        "data_seed": None if args.data_seed is None else args.data_seed + seed,
        "max_steps": steps,
        "freeze": _freeze(args.freeze, tasks),
        "warmup_steps": _share(args.warmup_steps, steps, shared_steps) if args.warmup_steps >= 1 else args.warmup_steps,
        "lr_scheduler_kwargs": _scheduler_kwargs(args.lr_scheduler_kwargs, steps, shared_steps),
        "gradual_unfreezing_steps": args.gradual_unfreezing_steps
        and max(1, _share(args.gradual_unfreezing_steps, steps, shared_steps)),
        "logging_strategy": IntervalStrategy.NO,
        "logging_first_step": False,
        "report_to": [],
        "disable_tqdm": True,
        "push_to_hub": False,
        "resume_from_checkpoint": None,
        "save_total_limit": 1,
        "knows_metric": True,  # that of the shared run, whose compute_metrics may be another
    }
    if not evaluates(args):  # there are no rows for it; and the metric may be of a task that is not trained
        changed |= {"eval_strategy": IntervalStrategy.NO, "eval_on_start": False, "metric_for_best_model": None}
    if not args.load_best_model_at_end:
        changed |= {"save_strategy": SaveStrategy.NO}
    if len(tasks) == 1:
        changed |= {name: value for name, value in OF_SEVERAL_TASKS.items() if hasattr(args, name)}
    for name, value in changed.items():
        setattr(own, name, value)
    return own


def decisive_arguments(args: MultiTaskTrainingArguments) -> dict[str, Any]:
    """The arguments that weights depend on."""
    told = args.to_dict().items()
    return {name: value for name, value in told if name not in UNTOLD and not name.startswith(UNTOLD_PREFIXES)}


def _freeze(freeze: Collection[str] | None, tasks: Collection[str]) -> list[str] | None:
    """What is frozen of a model with these tasks alone."""
    kept = [part for part in freeze or () if not part.startswith("heads.") or part.removeprefix("heads.") in tasks]
    return kept or None


def _scheduler_kwargs(given: Any, steps: int, shared_steps: int) -> Any:
    """Those of a learning rate, where what is told in steps takes the same share of the run."""
    told = {name: given[name] for name in SCHEDULER_STEPS if given and given.get(name)}
    return {**given, **{name: max(1, _share(told[name], steps, shared_steps)) for name in told}} if told else given


def _share(steps: float, of: int, whole: int) -> int:
    return round(steps * of / whole)
