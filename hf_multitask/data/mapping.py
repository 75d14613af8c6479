"""From raw rows to texts and targets, every task present in every row."""

import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher, generate_random_fingerprint
from numpy.typing import NDArray

from ..modeling.task import Task
from ..settings.dataset_settings import DatasetSettings
from .cells import is_mixed
from .inference import source_of
from .raw_batch import RawBatch
from .targets import target_feature


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
    by_name = {task.name: task for task in tasks if task.name in settings.targets}
    known = dataset.features  # a copy at every look
    sources = {task: source_of(known, columns) for task, columns in settings.targets.items()}
    has_words = any(by_name[task].reads_tokens for task in sources)
    text_names = ["words"] if has_words else ["text", "text_pair"][: len(settings.text_columns)]

    features = Features(
        {
            **{text: List(Value("string")) if has_words else Value("string") for text in text_names},
            "targets": {task.name: target_feature(task) for task in tasks},
            "row": Value("string"),
            "reason": Value("string"),
        }
    )
    schema = features.arrow_schema

    def map_batch(columns: Mapping[str, list[Any]], indices: list[int], code: str) -> pa.Table:
        del code  # is there to be hashed
        batch_numbers = indices if numbers is None else [numbers[index] for index in indices]
        batch = RawBatch(columns, batch_numbers, where)
        words = batch.words(settings.text_columns[0]) if has_words else None
        if words is not None:
            texts: dict[str, list[Any]] = {"words": words}
        else:
            texts = {text: batch.texts(column) for text, column in zip(text_names, settings.text_columns, strict=True)}
        targets = {task: batch.targets(by_name[task], source, words) for task, source in sources.items()}
        for place, of_row in enumerate(zip(*targets.values(), strict=True)):
            if all(target is None for target in of_row):
                batch.refuse(
                    place,
                    f"a row must have a target for at least one task, found none for {list(settings.targets)} in the "
                    f"columns {list(settings.targets.values())}. Label the row, or drop it.",
                )
        origins = [f"{name}/{split}/{number + 1}" for number in batch_numbers]
        return _as_table(texts, targets, origins, batch.reasons, schema)

    used = dict.fromkeys([*settings.text_columns, *(name for source in sources.values() for name in source.columns)])
    rows = dataset.select_columns(list(used)).map(
        map_batch,
        batched=True,
        with_indices=True,
        features=features,
        fn_kwargs={"code": _code()},
        remove_columns=list(used),
        # A hash of everything in `map_batch` tells what to look for in the cache of files; rows in memory have none.
        new_fingerprint=None if dataset.cache_files else generate_random_fingerprint(),
        desc=f"Mapping {where}",
    )
    reasons = rows.with_format("arrow").select_columns(["row", "reason"])[:]
    fails = pc.is_valid(reasons["reason"])
    skipped = [SkippedRow(**failed) for failed in reasons.filter(fails).to_pylist()]
    if skipped:
        rows = rows.select(pc.indices_nonzero(pc.invert(fails)).to_pylist())
    return rows.remove_columns("reason"), skipped


def _as_table(
    texts: Mapping[str, list[Any]],
    targets: Mapping[str, list[Any]],
    origins: Sequence[str],
    reasons: Mapping[int, str],
    schema: pa.Schema,
) -> pa.Table:
    """The columns of mapped rows; those of a row that cannot be used are empty but for its `row` and `reason`."""
    for values in (*texts.values(), *targets.values()):
        for place in reasons:
            values[place] = None
    fields = list(schema.field("targets").type)
    size = len(origins)
    of_tasks = [
        pa.array(targets[field.name], field.type) if field.name in targets else pa.nulls(size, field.type)
        for field in fields
    ]
    arrays = {
        **{name: pa.array(values, schema.field(name).type) for name, values in texts.items()},
        "targets": pa.StructArray.from_arrays(of_tasks, fields=fields),
        "row": pa.array(origins, pa.string()),
        "reason": pa.array([reasons.get(place) for place in range(size)], pa.string()),
    }
    return pa.Table.from_pydict(arrays, schema=schema)


@lru_cache
def _code() -> str:
    """A hash of how rows are read: `datasets` has none of code in modules, and its cache outlives a version of it."""
    modules = [sys.modules[part.__module__] for part in (is_mixed, map_rows, target_feature, RawBatch)]
    hashed: str = Hasher.hash([inspect.getsource(module) for module in modules])
    return hashed


def check_columns(dataset: Dataset, settings: DatasetSettings, where: str) -> None:
    """Raise unless `dataset` has every column that `settings` name, with values of one type.

    Raises:
        ValueError: One is missing, or mixed.
    """
    features = dataset.features  # a copy at every look
    uses = [("text", column) for column in settings.text_columns]
    uses += [(f"targets.{task}", column) for task in settings.targets for column in settings.target_columns(task)]
    for use, column in uses:
        if column not in features:
            raise ValueError(
                f"{where}: the column {column!r}, named by {use}, must exist, found the columns "
                f"{dataset.column_names}. Correct {use} in the configuration, or the header."
            )
        # `datasets` parses strings of such columns once more: "01" would become 1, and "null" nothing.
        if is_mixed(features[column]):
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


def has_target(rows: Dataset, tasks: Collection[str]) -> NDArray[np.bool_]:
    """Whether each of N mapped rows has a target for one of the `tasks`, (N,)."""
    known = [task for task in tasks if task in rows.features["targets"]]
    if not known:
        return np.zeros(len(rows), dtype=np.bool_)
    targets = rows.with_format("arrow").select_columns(["targets"])[:]["targets"].combine_chunks()
    found: NDArray[np.bool_] = np.any([pc.struct_field(targets, task).is_valid() for task in known], axis=0)
    return found


def with_targets(rows: Dataset, tasks: Collection[str], form: str) -> Dataset:
    """The rows with a target for one of the `tasks`, and no other targets.

    Args:
        rows: Mapped rows.
        tasks: Names of tasks.
        form: What the progress bar calls the result.
    """

    def keep(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return {"targets": [{task: row[task] if task in tasks else None for task in row} for row in batch["targets"]]}

    kept = rows.select(np.flatnonzero(has_target(rows, tasks)))
    return kept.map(keep, batched=True, features=rows.features, desc=f"Targets of {form}")
