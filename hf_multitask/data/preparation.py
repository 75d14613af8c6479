"""All datasets of a run, read, checked and mapped to all of its tasks."""

import logging
from collections.abc import Collection, Mapping, Sequence

import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from ..modeling.task import Task, parse_tasks
from ..settings.run_settings import SPLITS, RunSettings
from ..settings.task_settings import BALANCED
from .earlier_tasks import continued
from .inference import Column, check_columns_of_labels, infer_labels, infer_problem_type, source_of
from .mapping import SkippedRow, forms_of, map_rows, where_of
from .prepared_data import PreparedData, Splits
from .raw_rows import SAMPLE, RawRows, read_rows, seed_of, shares_to_cut
from .same_texts import text_keys, warn_of_trained_texts
from .skipped_rows import check_none_skipped
from .splitting import cut
from .statistics import count_targets, fit_tasks
from .stream import Stream

logger = logging.getLogger(__name__)


def prepare(
    settings: RunSettings,
    given: Mapping[str, Dataset | DatasetDict] | None = None,
    earlier: Sequence[Task] = (),
    scored: str | None = None,
) -> PreparedData:
    """The data that `settings` describe, checked from the first row to the last.

    Args:
        settings: Of the run.
        given: Per dataset, its rows, in place of those that its `path` names.
        earlier: The tasks of the model that the run starts from, which come before all others; they need no rows, and
            datasets with targets for them alone need no train split.
        scored: The split that a model, whose tasks are `earlier`, is to be scored on: there are no others then, and
            only rows that it needs are looked at. By default the data are for training.

    Raises:
        ValueError: Anything in it cannot be trained on, or scored; the message names task, dataset and row, and what to
            do.
    """
    known = {task.name: task for task in earlier}
    settings.check_fed(known)
    sources = {name: read_rows(name, settings, given or {}, known, scored) for name in settings.datasets}
    raw = {name: source.splits for name, source in sources.items()}
    described = {name: _describe(name, settings, raw, known.get(name)) for name in settings.tasks}
    tasks = parse_tasks((known | described).values())
    mapped, skipped = _map(settings, sources, tasks)
    splits = _by_split(settings, sources, mapped, tasks, scored)
    fed_later = _fed_later(settings, sources)
    _check_every_task_has_targets([task for task in tasks if task.name not in known], splits, fed_later)
    if scored is None:
        _check_train(settings, [task for task in tasks if task.name in known], splits)
    tasks = fit_tasks(tasks, settings.tasks, {split: list(rows.values()) for split, rows in splits.items()}, known)
    skips = settings.invalid_rows == "skip"
    streams = {
        name: Stream(name, source.stream, settings.datasets[name], tasks, skips_invalid=skips)
        for name, source in sources.items()
        if source.stream is not None
    }
    data = PreparedData(tasks, splits, tuple(skipped), streams, fed_later)
    if scored is None:
        _warn_of_labels_without_training_rows(settings, data)
        warn_of_trained_texts(splits)
    return data


def _map(
    settings: RunSettings, sources: Mapping[str, RawRows], tasks: list[Task]
) -> tuple[dict[str, dict[str, Dataset]], list[SkippedRow]]:
    """Per dataset and split, the mapped rows that can be used; and the rows that cannot.

    Raises:
        ValueError: There are such rows, and none are to be left out.
    """
    mapped: dict[str, dict[str, Dataset]] = {}
    skipped: list[SkippedRow] = []
    for name, source in sources.items():
        mapped[name] = {}
        for split, rows in source.splits.items():
            usable, failed = map_rows(rows, settings.datasets[name], tasks, name, split, source.drawn[split])
            mapped[name][split] = usable
            if source.stream is None or split != "train" or settings.invalid_rows == "error":
                skipped += failed  # those of a stream are told when training reads them
    if settings.invalid_rows == "error":
        check_none_skipped(skipped)
    elif skipped:
        logger.warning("%d rows cannot be used and are left out; the first: %s", len(skipped), skipped[0].reason)
    return mapped, skipped


def _by_split(
    settings: RunSettings,
    sources: Mapping[str, RawRows],
    mapped: Mapping[str, dict[str, Dataset]],
    tasks: list[Task],
    scored: str | None,
) -> Splits:
    """Per split of the run, those that are cut among them, and form of a dataset, the mapped rows.

    Raises:
        ValueError: A dataset's split has no row, or there are no rows to score.
    """
    formed: Splits = {}
    for name, splits in mapped.items():
        for split, rows in _with_cut_splits(name, splits, sources[name].found, settings, tasks).items():
            forms = forms_of(name, rows, settings.datasets[name], tasks)
            formed.setdefault(split, {}).update({form: some for form, some in forms.items() if len(some)})
    of_run = {split: formed[split] for split in SPLITS if split in formed and scored in (None, split)}
    if scored is not None and not of_run:
        names = sorted({split for source in sources.values() for split in source.found})
        raise ValueError(
            f"There must be {scored} rows to score, found only the splits {names}. Name a file of them in the "
            f"configuration (data_files: {{{scored}: FILE}}), or another split."
        )
    return of_run


def _fed_later(settings: RunSettings, sources: Mapping[str, RawRows]) -> frozenset[str]:
    """Tasks that may have their first targets behind the first rows of a stream."""
    return frozenset(
        task for name, source in sources.items() if source.may_go_on for task in settings.datasets[name].targets
    )


def _describe(name: str, settings: RunSettings, raw: Splits, earlier: Task | None) -> Task:
    """The task called `name`: its kind and labels are those of the `earlier` model, or inferred if not given."""
    task = settings.tasks[name]
    columns = [
        Column(rows, source_of(rows.features, dataset.targets[name]), dataset.text_columns[0], where_of(source, split))
        for source, dataset in settings.datasets.items()
        if name in dataset.targets
        for split, rows in raw[source].items()
    ]
    kind = earlier.problem_type if earlier else task.problem_type or infer_problem_type(name, columns)
    for source, dataset in settings.datasets.items():
        if name in dataset.targets:
            dataset.check_kind(f"datasets.{source}.targets.{name}", name, kind)
    if earlier:
        found = continued(earlier, task)
    else:
        given = None if task.labels is None else [str(label) for label in task.labels]
        found = Task.parse(task.described(name, kind, infer_labels(name, kind, columns) if given is None else given))
    check_columns_of_labels(found, columns)
    return found


def _with_cut_splits(
    name: str, splits: dict[str, Dataset], found: Collection[str], settings: RunSettings, tasks: list[Task]
) -> dict[str, Dataset]:
    """The mapped `splits` of a dataset, and those that are to be cut from its training rows; `found` are all it has."""
    dataset = settings.datasets[name]
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(
                f"{where_of(name, split)}: there must be at least one usable row, found none. Correct the rows."
            )
    shares = shares_to_cut(dataset, found)
    if not shares or "train" not in splits:
        return splits
    train = splits["train"]
    choices = {task.name for task in tasks if task.is_choice and not task.reads_tokens}
    strata = None
    if primary := next((task for task in dataset.targets if task in choices), None):
        targets = pc.struct_field(train.with_format("arrow")[:]["targets"], primary)
        strata = pc.fill_null(targets, -1).to_pylist()
    is_symmetric = any(task.problem_type == "similarity" for task in tasks if task.name in dataset.targets)
    parts = cut(text_keys(train, in_any_order=is_symmetric), shares, strata, seed_of(settings), f"dataset {name!r}")
    return splits | {split: train.select(indices) for split, indices in parts.items()}


def _check_every_task_has_targets(tasks: list[Task], splits: Splits, fed_later: Collection[str]) -> None:
    for split, datasets in splits.items():
        for task in tasks:
            if count_targets(task, datasets.values()):
                continue
            # Not numbers: their mean, or their range, is needed now.
            if split == "train" and task.name in fed_later and task.has_classes:
                logger.warning("Task %r: the first %d rows of its stream have no target for it", task.name, SAMPLE)
            else:
                raise ValueError(
                    f"Task {task.name!r}, split {split!r}: there must be labelled rows, found none in the datasets "
                    f"{list(datasets)}. Add rows to this split of a dataset with targets for the task, or leave the "
                    "split out of all datasets."
                )


def _check_train(settings: RunSettings, earlier: list[Task], splits: Splits) -> None:
    """Raise unless there is something to train on, and what is to be computed from it of `earlier` tasks can be."""
    if "train" not in splits:
        raise ValueError(
            f"There must be training rows, found only the splits {list(splits)}. Add a dataset with a train split."
        )
    for task in earlier:
        wanted = settings.tasks[task.name].class_weights if task.name in settings.tasks else None
        if wanted == BALANCED and not count_targets(task, splits["train"].values()):
            raise ValueError(
                f"tasks.{task.name}.class_weights must be left out where the task has no training rows, found "
                f"{BALANCED!r}. Remove it, or add rows."
            )


def _warn_of_labels_without_training_rows(settings: RunSettings, data: PreparedData) -> None:
    for task, counts in data.label_counts("train").items():
        absent = [label for label, count in counts.items() if not count]
        if absent and task in settings.tasks and settings.tasks[task].labels is None and task not in data.untrained:
            logger.warning("Task %r: no training row has the labels %s, which other splits have", task, absent)
