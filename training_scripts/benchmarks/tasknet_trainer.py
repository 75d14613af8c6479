"""A peer that trains several tasks on one encoder: tasknet."""

from collections.abc import Sequence
from typing import Any

from .ours import quiet
from .stopwatch import Stopwatch
from .variant import Skip, Variant
from .workload import Workload

NAME = "tasknet"


def variant(workload: Workload, texts: Sequence[str], tokens: int, num_tasks: int) -> Variant:
    """The same rows once for each task: its batches are of one task each."""
    return Variant(
        f"{NAME}, {num_tasks} tasks",
        lambda made: made.train(),
        lambda: trainer(workload, texts, num_tasks),
        amount=num_tasks * tokens,
        tokens=num_tasks * tokens,
    )


def trainer(workload: Workload, texts: Sequence[str], num_tasks: int) -> Any:
    """Its Trainer.

    Raises:
        Skip: tasknet is not installed, or cannot load what it takes from the Hub as it is imported.
    """
    try:
        import tasknet
    except ImportError as error:
        raise Skip("tasknet is not installed") from error
    except Exception as error:
        raise Skip(f"tasknet cannot be imported: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    from datasets import DatasetDict

    rows = workload.rows(texts, num_tasks)
    tasks = []
    for number in range(num_tasks):
        labels = [row[f"task_{number}"] for row in rows["targets"]]
        labelled = rows.remove_columns("targets").add_column("label", labels)
        splits = DatasetDict(train=labelled, validation=labelled.select([0]), test=labelled.select([0]))
        tasks.append(tasknet.Classification(dataset=splits, s1="text", y="label", name=f"task_{number}"))
    settings = quiet(workload) | {"model_name": workload.backbone, "max_length": workload.max_length}
    settings |= {"eval_strategy": "no", "learning_rate": 5e-5}
    hparams = type("hparams", (), settings)
    made = tasknet.Trainer(tasknet.Model(tasks, hparams), tasks, hparams)
    made.stopwatch = Stopwatch(workload.method)
    return made
