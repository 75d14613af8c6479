"""Where rows come from and which of their columns mean what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.dataclasses import strict

from .keys import check_keys
from .task_settings import BALANCED, TaskSettings

SPLITS = ("train", "validation", "test")


@strict
@dataclass(kw_only=True)
class DatasetSettings:
    """Where rows come from and which of their columns mean what.

    Args:
        path: A file or folder of csv, tsv, json, jsonl or parquet, or a Hub dataset id; it may be left out where the
            rows are given from Python.
        text: The column with the text (or its words), or the two columns of a pair.
        targets: Per task, the column with its targets, or the columns, one for each label or value.
        name: Configuration of a Hub dataset.
        revision: Revision of a Hub dataset.
        data_files: Per split, the file or files, relative to `path`.
        splits: Per split of ours (train, validation, test), the name of the dataset's.
        max_rows: Rows that are used of each split at most, drawn by chance (of a streamed one the first ones); all by
            default.
        validation: Share of the training rows that becomes the validation split, where there is none. Rows are drawn by
            chance, and stratified by the first of the `targets` that is one label of a text.
        test: Share of the training rows that becomes the test split, where there is none.
        streaming: Whether training rows are read while they are needed, for more of them than fit on the disk. They
            come without an end, so that `training.max_steps` must be given; the other splits are read whole.
    """

    text: str | list[str]
    targets: dict[str, str | list[str]]
    path: str | None = None
    name: str | None = None
    revision: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    splits: dict[str, str] | None = None
    max_rows: int | None = None
    validation: float | None = None
    test: float | None = None
    streaming: bool = False

    @property
    def text_columns(self) -> list[str]:
        """The one or two columns with text."""
        return [self.text] if isinstance(self.text, str) else self.text

    @property
    def columns(self) -> list[str]:
        """All columns that are read, each once."""
        targets = [column for task in self.targets for column in self.target_columns(task)]
        return list(dict.fromkeys([*self.text_columns, *targets]))

    def hub_id(self, folder: Path) -> str | None:
        """The dataset's id on the Hub; `None` where `path` names a file or folder, from here or from `folder`."""
        if self.path is None or Path(self.path).expanduser().exists() or (folder / self.path).exists():
            return None
        return self.path

    @property
    def shares(self) -> dict[str, float]:
        """Per split to cut from the training rows, its share of them."""
        return {split: share for split in ("validation", "test") if (share := getattr(self, split)) is not None}

    def target_columns(self, task: str) -> list[str]:
        """The columns with the targets of `task`."""
        columns = self.targets[task]
        return [columns] if isinstance(columns, str) else columns

    def forms(self, name: str, similarities: set[str]) -> dict[str, list[str]]:
        """Under which names the dataset is trained on, and the tasks of each.

        Tasks read the two texts of a pair jointly, but a similarity reads each by itself: a dataset with both has two
        forms, `name` and `name:similarity`.

        Args:
            name: The user's name for the dataset.
            similarities: Names of the tasks that are similarities.
        """
        apart = [task for task in self.targets if task in similarities]
        joint = [task for task in self.targets if task not in similarities]
        if apart and joint:
            return {name: joint, f"{name}:similarity": apart}
        return {name: apart or joint}

    def check(self, where: str, tasks: Mapping[str, TaskSettings]) -> None:
        """Raise unless the settings fit each other and the `tasks`.

        Raises:
            ValueError: They do not; the message says that they stand at `where`.
        """
        try:
            check_keys(self.targets, tasks, f"{where}.targets")
        except ValueError as error:
            raise ValueError(f"{error} A task of its own must be under tasks too, if others are.") from error
        check_keys(self.splits or {}, SPLITS, f"{where}.splits")
        check_keys(self.data_files if isinstance(self.data_files, dict) else {}, SPLITS, f"{where}.data_files")
        if not self.targets:
            raise ValueError(f"{where}.targets: there must be at least one task, found none. Write {{task: column}}.")
        if not 1 <= len(self.text_columns) <= 2:
            raise ValueError(f"{where}.text must be one column or two, found {self.text!r}. Write [first, second].")
        if self.splits and self.data_files:
            raise ValueError(f"{where}: one of splits and data_files must be left out, found both. Remove splits.")
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"{where}.max_rows must be at least 1, found {self.max_rows}. Leave it out for all rows.")
        if not all(0 < share < 1 for share in self.shares.values()) or sum(self.shares.values()) >= 1:
            raise ValueError(
                f"{where}: validation and test must be shares above 0, and together below 1, found {self.shares}. "
                "Write validation: 0.1, for instance."
            )
        for task in self.targets:
            self._check_columns(f"{where}.targets.{task}", task, tasks[task].problem_type)
        if self.streaming:
            self._check_streaming(where, tasks)

    def _check_columns(self, where: str, task: str, kind: str | None) -> None:
        columns = self.target_columns(task)
        if not columns or len(set(columns)) < len(columns):
            raise ValueError(
                f"{where} must be a column, or a list of different ones, found {self.targets[task]!r}. Correct it."
            )
        texts = [column for column in columns if column in self.text_columns]
        if texts:
            raise ValueError(f"{where} must be no column of text, found {texts[0]!r}. Name the column of the targets.")
        if kind is not None:
            self.check_kind(where, task, kind)

    def _check_streaming(self, where: str, tasks: Mapping[str, TaskSettings]) -> None:
        if self.shares:
            raise ValueError(
                f"{where}: validation and test must be left out where the training rows are streamed, found "
                f"{self.shares}: they have no number. Add files of these splits."
            )
        for name in self.targets:
            task = tasks[name]
            kind = task.problem_type
            needs = {"problem_type": kind is None}
            needs["labels"] = kind not in ("regression", "similarity") and task.labels is None
            needs["score_range"] = kind == "similarity" and task.score_range is None
            missing = [key for key, needed in needs.items() if needed]
            if missing:
                raise ValueError(
                    f"tasks.{name} must have {' and '.join(missing)}, found none: {where} is streamed, so that they "
                    "cannot be read from all rows. Add them."
                )
            if task.class_weights == BALANCED:
                raise ValueError(
                    f"tasks.{name}.class_weights must be numbers, found {BALANCED!r}: {where} is streamed, so that its "
                    "labels cannot be counted. Write them by label."
                )
        if len(self.targets) > 1 and any(tasks[name].problem_type == "similarity" for name in self.targets):
            raise ValueError(
                f"{where}.targets: a similarity must be the only task of a streamed dataset, found "
                f"{list(self.targets)}. Move the others to a dataset of their own."
            )

    def check_kind(self, where: str, task: str, kind: str) -> None:
        """Raise unless a task of this `kind` can read the columns.

        Raises:
            ValueError: It cannot; the message says that the task's columns stand at `where`.
        """
        if not isinstance(self.targets[task], str) and kind not in ("multi_label_classification", "regression"):
            raise ValueError(
                f"{where} must be one column for the problem_type {kind!r}, found {self.targets[task]!r}. Name the one."
            )
        count = {"similarity": 2, "token_classification": 1}.get(kind)
        if count is not None and len(self.text_columns) != count:
            raise ValueError(
                f"{where}: the problem_type {kind!r} must have {count} text column{'s' * (count > 1)}, found "
                f"{self.text_columns}. Correct text, or move the task to a dataset of its own."
            )
