"""From raw rows to texts and targets, every task present in every row."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value

from ..modeling.task import Task
from ..settings.dataset_settings import DatasetSettings
from .cells import is_mixed, list_of, shown
from .inference import source_of
from .targets import TARGETS, Source, target_feature


@dataclass(frozen=True)
class SkippedRow:
    """A row that cannot be used.

    Args:
        row: Its dataset, split and number.
        reason: What must hold, what was found, and what to do.
    """

    row: str
    reason: str


def map_rows(
    dataset: Dataset,
    settings: DatasetSettings,
    tasks: Sequence[Task],
    name: str,
    split: str,
    numbers: Sequence[int] | None = None,
) -> tuple[Dataset, list[SkippedRow]]:
    """The rows that can be used, in the same order, and those that cannot.

    A row has `text`, maybe `text_pair`, or the `words` of a text where one of its tasks is a token classification;
    `targets`, which has for every task a target or `None`; and `row`, which tells where it is from.

    Args:
        dataset: Raw rows, with the columns that `check_columns` asks for.
        settings: Which columns mean what.
        tasks: All the model's tasks.
        name: The user's name for the dataset.
        split: The split that the rows are from.
        numbers: Number of each row in its split, from 0; by default those that they have here.
    """
    where = where_of(name, split)
    by_name = {task.name: task for task in tasks}
    sources = {task: source_of(dataset, columns) for task, columns in settings.targets.items()}
    has_words = any(by_name[task].reads_tokens for task in sources)
    text_names = ["words"] if has_words else ["text", "text_pair"][: len(settings.text_columns)]

    def map_row(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        texts = {
            text: (_words if has_words else _text)(row[column], column, number, where)
            for text, column in zip(text_names, settings.text_columns, strict=True)
        }
        num_words = len(texts["words"]) if has_words else 0
        targets = dict.fromkeys(by_name) | {
            task: _target(row, by_name[task], source, number, where, num_words) for task, source in sources.items()
        }
        if all(target is None for target in targets.values()):
            raise ValueError(
                f"Row {number + 1} of {where}: a row must have a target for at least one task, found none for "
                f"{list(settings.targets)} in the columns {list(settings.targets.values())}. Label the row, or "
                "drop it."
            )
        return {**texts, "targets": targets, "reason": None}

    def map_batch(batch: Mapping[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        mapped: dict[str, list[Any]] = {column: [] for column in features}
        for index, values in zip(indices, zip(*batch.values(), strict=True), strict=True):
            number = index if numbers is None else numbers[index]
            try:
                row = map_row(dict(zip(batch, values, strict=True)), number)
            except ValueError as error:
                empty = dict.fromkeys(text_names) | {"targets": dict.fromkeys(by_name)}
                row = empty | {"reason": str(error)}
            row["row"] = f"{name}/{split}/{number + 1}"
            for column, value in row.items():
                mapped[column].append(value)
        return mapped

    features = Features(
        {
            **{text: List(Value("string")) if has_words else Value("string") for text in text_names},
            "targets": {task.name: target_feature(task) for task in tasks},
            "row": Value("string"),
            "reason": Value("string"),
        }
    )
    used = dict.fromkeys([*settings.text_columns, *(name for source in sources.values() for name in source.columns)])
    rows = dataset.select_columns(list(used)).map(
        map_batch,
        batched=True,
        with_indices=True,
        features=features,
        remove_columns=list(used),
        desc=f"Mapping {where}",
    )
    reasons = rows.with_format("arrow").select_columns(["row", "reason"])[:]
    fails = pc.is_valid(reasons["reason"])
    skipped = [SkippedRow(**failed) for failed in reasons.filter(fails).to_pylist()]
    if skipped:
        rows = rows.select(pc.indices_nonzero(pc.invert(fails)).to_pylist())
    return rows.remove_columns("reason"), skipped


def check_columns(dataset: Dataset, settings: DatasetSettings, where: str) -> None:
    """Raise unless `dataset` has every column that `settings` name, with values of one type.

    Raises:
        ValueError: One is missing, or mixed.
    """
    uses = [("text", column) for column in settings.text_columns]
    uses += [(f"targets.{task}", column) for task in settings.targets for column in settings.target_columns(task)]
    for use, column in uses:
        if column not in dataset.column_names:
            raise ValueError(
                f"{where}: the column {column!r}, named by {use}, must exist, found the columns "
                f"{dataset.column_names}. Correct {use} in the configuration, or the header."
            )
        # `datasets` parses strings of such columns once more: "01" would become 1, and "null" nothing.
        if is_mixed(dataset.features[column]):
            raise ValueError(
                f"{where}: the column {column!r} must hold values of one type, found several. Write all as strings."
            )


def forms_of(name: str, rows: Dataset, settings: DatasetSettings, tasks: Sequence[Task]) -> dict[str, Dataset]:
    """Mapped `rows` in the forms that their tasks read, by name: texts joined, or `text` and `second_text` apart.

    A row is in the forms that it has a target for.
    """
    similarities = {task.name for task in tasks if task.problem_type == "similarity"}
    forms = {}
    for form, of_form in settings.forms(name, similarities).items():
        found = rows
        if len(of_form) < len(settings.targets):
            found = with_targets(rows, of_form, form)
        forms[form] = found.rename_column("text_pair", "second_text") if set(of_form) <= similarities else found
    return forms


def where_of(name: str, split: str) -> str:
    """Dataset and split, as messages call them."""
    return f"dataset {name!r}, split {split!r}"


def with_targets(rows: Dataset, tasks: Collection[str], form: str) -> Dataset:
    """The rows with a target for one of the `tasks`, and no other targets.

    Args:
        rows: Mapped rows.
        tasks: Names of tasks.
        form: What the progress bar calls the result.
    """
    targets = rows.with_format("arrow")[:]["targets"].combine_chunks()
    has_any = np.any([pc.struct_field(targets, task).is_valid() for task in tasks], axis=0)

    def keep(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return {"targets": [{task: row[task] if task in tasks else None for task in row} for row in batch["targets"]]}

    kept = rows.select(np.flatnonzero(has_any))
    return kept.map(keep, batched=True, features=rows.features, desc=f"Targets of {form}")


def _target(row: Mapping[str, Any], task: Task, source: Source, number: int, where: str, num_words: int) -> Any:
    cells = [row[column] for column in source.columns]
    place = f"Task {task.name!r}, row {number + 1} of {where}"
    words = {"num_words": num_words} if task.reads_tokens else {}
    return TARGETS[task.problem_type](cells, task, source, place, **words)


def _text(value: Any, column: str, number: int, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        found = (
            "an empty one" if value is None or isinstance(value, str) else f"{shown(value)} ({type(value).__name__})"
        )
        raise ValueError(
            f"Row {number + 1} of {where}: the column {column!r} must hold a text, found {found}. Fill it in, or drop "
            "the row."
        )
    return value


def _words(value: Any, column: str, number: int, where: str) -> list[str]:
    place = f"Row {number + 1} of {where}, column {column!r}"
    words = list_of(value, place)
    if not words:
        raise ValueError(f"{place}: there must be a list of words, found an empty one. Fill it in, or drop the row.")
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise ValueError(
                f"{place}: every word must be a text, found {shown(word)} ({type(word).__name__}). Correct the list, "
                "or drop the row."
            )
    return words
