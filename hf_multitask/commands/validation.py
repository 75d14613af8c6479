"""The labelled rows that a trained model is held against."""

from pathlib import Path
from typing import Any

from ..data.collation import MultiTaskCollator
from ..data.mixing import mix
from ..data.preparation import prepare
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.reading import UNLIMITED
from ..modeling.task import Task
from ..settings.run_settings import RunSettings
from ..settings.yaml_file import read_yaml

BATCH_SIZE = 32


def validation_batches(path: Path, model: MultiTaskModel) -> list[dict[str, Any]]:
    """The validation rows that a configuration file describes, in batches with labels for the model's tasks.

    Args:
        path: Of the configuration of a run.
        model: Knows its tasks and its tokenizer, whose `model_max_length` is what is read of a text, in tokens.

    Raises:
        ValueError: Something in the configuration or the data cannot be, there are no validation rows, or a task has
            other labels than the model's.
    """
    settings = RunSettings.from_dict(read_yaml(path), folder=path.resolve().parent)
    data = prepare(settings)
    if "validation" not in data.splits:
        raise ValueError(
            f"{path}: there must be validation rows, found only {list(data.splits)}. Name a split, or cut one from the "
            "training rows with validation: 0.1."
        )
    ours = {task.name: task for task in model.config.tasks}
    for task in data.tasks:
        if task.name in ours:
            _check_same(ours[task.name], task, path)
    tokenizer = model.tokenizer
    limit = settings.max_length or tokenizer.model_max_length
    if limit >= UNLIMITED:
        raise ValueError(f"{path}: max_length must be given, found none, and the tokenizer knows none. Add it.")
    rows = mix(list(data.tokenized(tokenizer, limit)["validation"].values()))
    if not any(task.name in ours for task in data.tasks):
        raise ValueError(
            f"{path}: there must be targets for one of the model's tasks {list(ours)}, found "
            f"{[task.name for task in data.tasks]}. Name the tasks as the model does."
        )
    collate = MultiTaskCollator(tokenizer, model.config.tasks)
    order = rows.with_format("numpy")["length"][:].argsort()  # texts of similar length together: little padding
    return [
        collate(rows.select(order[start : start + BATCH_SIZE]).to_list()) for start in range(0, len(order), BATCH_SIZE)
    ]


def _check_same(ours: Task, theirs: Task, path: Path) -> None:
    if (ours.problem_type, ours.labels) != (theirs.problem_type, theirs.labels):
        raise ValueError(
            f"{path}, task {ours.name!r}: it must be as the model has it, {ours.problem_type} with the labels "
            f"{list(ours.labels)}, found {theirs.problem_type} with {list(theirs.labels)}. Write them in that order."
        )
