"""From raw rows to texts and targets, every task present in every row."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value

from ..modeling.configuration_multitask import Task
from ..settings.run_settings import DatasetSettings

FRACTION = r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?"
"""Numbers as programs write floats: 1.0, .5, 2e-05."""


def map_rows(dataset: Dataset, settings: DatasetSettings, tasks: Sequence[Task], where: str) -> Dataset:
    """Rows `{"text", ("text_pair",) "targets": {task: index of the label, or None}}`, in the same order.

    Args:
        dataset: Raw rows, with the columns that `check_columns` asks for.
        settings: Which columns mean what.
        tasks: All the model's tasks.
        where: Dataset and split, for messages.

    Raises:
        ValueError: A text is empty or no text; a target is no label of its task; a row has no target.
    """
    text_names = ["text", "text_pair"][: len(settings.text_columns)]
    names = {task: _class_names(dataset, column) for task, column in settings.targets.items()}
    by_name = {task.name: task for task in tasks}

    def map_batch(batch: Mapping[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        texts = {}
        for name, column in zip(text_names, settings.text_columns, strict=True):
            texts[name] = [_text(value, column, row, where) for value, row in zip(batch[column], indices, strict=True)]
        targets: list[dict[str, int | None]] = [dict.fromkeys(by_name) for _ in indices]
        for task, column in settings.targets.items():
            label2id = by_name[task].label2id
            for target, value, row in zip(targets, batch[column], indices, strict=True):
                place = f"Task {task!r}, row {row + 1} of {where}"
                label = label_of(value, names[task], place)
                target[task] = None if label is None else _index(label, label2id, place)
        for target, row in zip(targets, indices, strict=True):
            if all(value is None for value in target.values()):
                raise ValueError(
                    f"Row {row + 1} of {where}: a row must have a target for at least one task, found none for "
                    f"{list(settings.targets)} in the columns {list(settings.targets.values())}. Label the row, or "
                    "drop it."
                )
        return {**texts, "targets": targets}

    features = Features(
        {**{name: Value("string") for name in text_names}, "targets": {task.name: Value("int64") for task in tasks}}
    )
    return dataset.map(
        map_batch,
        batched=True,
        with_indices=True,
        features=features,
        remove_columns=dataset.column_names,
        desc=f"Mapping {where}",
    )


def infer_labels(task: str, columns: Sequence[tuple[Dataset, str, str]]) -> list[str]:
    """The labels of `task` in training rows, sorted (by value where all are whole numbers).

    Args:
        task: The task's name.
        columns: Each dataset with targets for the task, the column with them, and where they are, for messages.

    Raises:
        ValueError: There are fewer than two labels, or one is a fraction, and so a score rather than a label.
    """
    labels: set[str] = set()
    for dataset, column, where in columns:
        names = _class_names(dataset, column)
        for row, value in enumerate(dataset.select_columns(column)[:][column]):
            place = f"Task {task!r}, row {row + 1} of {where}"
            label = label_of(value, names, place)
            if label is not None and re.fullmatch(FRACTION, label):
                raise ValueError(
                    f"{place}: a label must be a name or a whole number, found {label}. Put the scores into classes, "
                    "drop the row, or list the labels under tasks if they are names of classes."
                )
            if label is not None:
                labels.add(label)
    if len(labels) < 2:
        places = ", ".join(f"the column {column!r} of {where}" for _, column, where in columns)
        raise ValueError(
            f"Task {task!r}: there must be at least two labels, found {sorted(labels) or 'none'} in {places}. "
            "Label more rows, or list the labels under tasks."
        )
    numbers = all(re.fullmatch(r"[-+]?\d+", label) for label in labels)
    return sorted(labels, key=lambda label: (int(label), label)) if numbers else sorted(labels)


def check_columns(dataset: Dataset, settings: DatasetSettings, where: str) -> None:
    """Raise unless `dataset` has every column that `settings` name.

    Raises:
        ValueError: One is missing.
    """
    uses = [("text", column) for column in settings.text_columns]
    uses += [(f"targets.{task}", column) for task, column in settings.targets.items()]
    for use, column in uses:
        if column not in dataset.column_names:
            raise ValueError(
                f"{where}: the column {column!r}, named by {use}, must exist, found the columns "
                f"{dataset.column_names}. Correct {use} in the configuration, or the header."
            )


def label_of(value: Any, class_names: Sequence[str] | None, place: str) -> str | None:
    """The label a cell holds, as a string; `None` for an empty cell.

    Args:
        value: The cell.
        class_names: Names of the classes where the column is a `ClassLabel`.
        place: Task and row, for messages.

    Raises:
        ValueError: The cell is no label: a float, a list, a mapping ...
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if class_names is not None and isinstance(value, int):
        return None if value < 0 else class_names[value]  # -1 is how `datasets` marks an unlabelled row
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):  # bool too
        return str(value)
    raise ValueError(
        f"{place}: a label must be a string or a whole number, found {value!r} ({type(value).__name__}). "
        "Store the labels as strings, or drop the row."
    )


def _class_names(dataset: Dataset, column: str) -> list[str] | None:
    feature = dataset.features[column]
    return feature.names if isinstance(feature, ClassLabel) else None


def _text(value: Any, column: str, row: int, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        found = "an empty one" if value is None or isinstance(value, str) else f"{value!r} ({type(value).__name__})"
        raise ValueError(
            f"Row {row + 1} of {where}: the column {column!r} must hold a text, found {found}. Fill it in, or drop "
            "the row."
        )
    return value


def _index(label: str, label2id: Mapping[str, int], place: str) -> int:
    if label not in label2id:
        raise ValueError(
            f"{place}: the label must be one of {list(label2id)}, found {label!r}. Add it to the task's labels, or "
            "drop the row."
        )
    return label2id[label]
