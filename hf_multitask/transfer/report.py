"""Does sharing one encoder help? A trained multi-task model against a model of each task."""

import math
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..publishing.transfer_record import TransferRecord
from ..training.trainer import MultiTaskTrainer
from .checks import check_models
from .comparison import compare_task, costs_of
from .experiment import Experiment, experiments
from .groups import group_tasks
from .run_arguments import evaluates
from .workbench import NewModel, Workbench

FOLDER = "transfer"
"""Where in a run's folder the outcomes are kept."""


def compare_single_task(
    trainer: MultiTaskTrainer,
    new_model: NewModel,
    rows: Any,
    *,
    seeds: int = 3,
    pairs: bool = False,
    split: str = "test",
) -> TransferRecord:
    """What each task gains or loses by sharing the model of `trainer`, against a model of its own.

        def new_model(wanted):
            model = MultiTaskModel.from_backbone(backbone, tasks=tasks)  # all, so that each head starts as it did
            for task in tasks:
                if task.name not in [kept.name for kept in wanted]:
                    model.remove_task(task.name)
            model.config.tasks = list(wanted)
            return model

        set_seed(args.seed)  # of transformers; what is done before each call of new_model
        trainer = MultiTaskTrainer(new_model(tasks), args, processing_class=tokenizer, train_dataset=rows)
        trainer.add_callback(TrainingClock())  # if the time of training is to be told
        trainer.train()
        print(describe_transfer(compare_single_task(trainer, new_model, test_rows)))

    Every other model has the same arguments and number of examples of each of its tasks, and the start that
    `new_model` gives it; of what else a Trainer may be given, such as an optimizer or callbacks, it has nothing. The
    rows of a single-task model are those with a target of its task; its loss weight is 1. The model of `trainer` is the
    shared one of the first seed; for each further seed, one more than the last, it is trained again. Where evaluations
    do not choose the checkpoint or end a run, there are none. Scores are those of the primary metrics, before
    calibration.

    What is done is kept in `transfer` in the Trainer's `output_dir`, so that a comparison that was killed goes on.

    Args:
        trainer: Has trained the shared model on a [`Mixture`], in this process.
        new_model: Makes a fresh model for some of its tasks, as the shared one was before training.
        rows: Tokenised rows with targets to score, which nothing was trained on.
        seeds: Number of seeds.
        pairs: Whether a model of each two tasks is trained too: T (T - 1) / 2 more a seed.
        split: What the rows are called.

    Raises:
        ValueError: The models cannot be trained alike; the message says why.
        FloatingPointError: A loss of one of them is not finite.
    """
    check_seeds(seeds)
    check_models(trainer, rows, split)
    if not trainer.state.global_step:
        raise ValueError(
            "compare_single_task needs a trained model, found one of no steps. Call trainer.train() first."
        )
    bench = Workbench(trainer, new_model, rows, Path(str(trainer.args.output_dir)) / FOLDER)
    names = tuple(task.name for task in bench.tasks)
    compared = [task for task in bench.tasks if task.loss_weight]
    to_train = experiments(names, [task.name for task in compared], seeds, pairs)
    outcomes = {Experiment(names, 0): bench.shared()}
    with tqdm(to_train, desc="Single-task models and others", unit="model") as bar:
        for experiment in bar:
            bar.set_postfix_str(f"{experiment}, seed {trainer.args.seed + experiment.seed}")
            outcomes[experiment] = bench.outcome(experiment)
    found = [
        compare_task(
            task,
            names,
            [other.name for other in compared if other is not task] if pairs else [],
            seeds,
            outcomes,
            bench.budget,
        )
        for task in compared
    ]
    gains = {of.task: {name: beside.gain for name, beside in of.beside.items()} for of in found}
    known = all(math.isfinite(gain) for beside in gains.values() for gain in beside.values())
    grouping = group_tasks(gains) if pairs and len(found) > 1 and known else None
    return TransferRecord(
        tasks=found,
        seeds=[trainer.args.seed + seed for seed in range(seeds)],
        split=split,
        shared=costs_of([names], seeds, outcomes, bench.timed),
        single=costs_of([(task.name,) for task in compared], seeds, outcomes, bench.timed),
        groups=grouping.groups if grouping else (),
        groups_gain=grouping.gain if grouping else 0.0,
        groups_exact=grouping is None or grouping.is_exact,
        stopped_early=evaluates(trainer.args),
    )


def check_seeds(seeds: int) -> None:
    """Raise unless there is a seed.

    Raises:
        ValueError: There is none.
    """
    if seeds < 1:
        raise ValueError(f"compare_single_task needs at least one seed, found {seeds}. Pass seeds=3.")
