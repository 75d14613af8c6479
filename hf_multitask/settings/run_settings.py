"""Everything one training run is told."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict

from ..modeling.pooling import POOLINGS
from ..modeling.task import parse_tasks
from .construction import build, checked_mapping
from .dataset_settings import SPLITS, DatasetSettings
from .hub_words import check_languages, check_license
from .keys import check_keys
from .lora_settings import LoraSettings
from .mixing_settings import MixingSettings, parse_mixing
from .task_settings import BALANCED, TaskSettings

__all__ = ["INVALID_ROWS", "RETAIN", "SPLITS", "DatasetSettings", "RunSettings", "TaskSettings"]

INVALID_ROWS = ("error", "skip")
"""What becomes of rows that cannot be used: the run ends, or goes on without them."""

RETAIN = ("replay", "distill", "none")
"""What keeps an earlier model's tasks as good as they were: rows of theirs, its own answers, or nothing."""

DEFAULT_SEEDS = 3
"""Of a comparison with single-task models."""


@strict
@dataclass(kw_only=True)
class RunSettings:
    """One training run.

    Args:
        backbone: `packaged:<name>`, a Hub id or a local folder.
        from_checkpoint: In place of a backbone, a multi-task model that this one starts from, with all its tasks: a
            local folder or a Hub id.
        retain: How the tasks of that model are kept: `replay` trains them on rows that the datasets must have,
            `distill` on the answers of that model to all training texts without a label for them, `none` not at all. By
            default `distill`, where the encoder learns and one of them has no training rows.
        datasets: The datasets, by names of the user's choice.
        tasks: The tasks, by name; by default those that the datasets have targets for.
        mixing: How much of an epoch each dataset gets.
        pooling: How token embeddings become the sentence embedding; by default as in `from_checkpoint` or a
            sentence-transformers backbone, the mean of any other.
        max_length: Tokens per text (or pair), at most; by default as in `from_checkpoint` or a
            sentence-transformers backbone, 128 of any other.
        invalid_rows: What becomes of rows that cannot be used: `error` ends the run, `skip` leaves them out and lists
            them in `skipped_rows.csv`.
        calibrate: Whether temperatures and thresholds are fitted on the validation split after training.
        confidence_intervals: Whether the test scores, or else the validation scores, get 95 % bootstrap intervals.
        compare_single_task: Whether a model of each task alone is trained too, with the same budget, to tell which
            tasks gain by sharing an encoder.
        compare_pairs: Whether models of each two tasks are trained for that as well.
        compare_seeds: Number of seeds of that comparison, the run's own and those that follow it.
        lora: Adapters in place of the encoder's own weights.
        training: The fields of [`MultiTaskTrainingArguments`].
        sample_texts: Texts whose probabilities are printed in the end; by default the first of the test split.
        license: Of the trained model, for its card: an SPDX identifier or a word of the Hub's.
        language: Of the texts, for the card: a code of ISO 639, or a list of them.
        overwrite_output_dir: Whether an `output_dir` that holds files is moved aside instead of refused.
        folder: Where relative paths of datasets may start from, besides the working directory.
    """

    datasets: dict[str, DatasetSettings]
    tasks: dict[str, TaskSettings]
    backbone: str | None = None
    from_checkpoint: str | None = None
    retain: str | None = None
    mixing: MixingSettings = field(default_factory=MixingSettings)
    pooling: str | None = None
    max_length: int | None = None
    invalid_rows: str = INVALID_ROWS[0]
    calibrate: bool = True
    confidence_intervals: bool = False
    compare_single_task: bool = False
    compare_pairs: bool = False
    compare_seeds: int = DEFAULT_SEEDS
    lora: LoraSettings | None = None
    training: dict[str, Any] = field(default_factory=dict)
    sample_texts: list[str] | None = None
    license: str | None = None
    language: str | list[str] | None = None
    overwrite_output_dir: bool = False
    folder: str = "."

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path = Path()) -> "RunSettings":
        """The settings that the mapping in a configuration file describes, all checked.

        Raises:
            ValueError: A key is unknown or missing, a value is of the wrong type, or the parts contradict each other.
        """
        known = [f.name for f in fields(cls) if f.name != "folder"]
        check_keys(values, known, "configuration")
        values = {key: value for key, value in values.items() if value is not None}  # `tasks:` with nothing below
        datasets = {
            name: build(DatasetSettings, value, f"datasets.{name}")
            for name, value in checked_mapping(values.get("datasets"), "datasets").items()
        }
        tasks = {
            name: build(TaskSettings, {} if value is None else value, f"tasks.{name}")
            for name, value in checked_mapping(values.get("tasks", {}), "tasks").items()
        }
        if not tasks:
            tasks = {task: TaskSettings() for dataset in datasets.values() for task in dataset.targets}
        training = checked_mapping(values.get("training", {}), "training")
        training = {key: value for key, value in training.items() if value is not None}  # as if it were not there
        parts = {"datasets": datasets, "tasks": tasks, "training": training, "folder": str(folder)}
        if "lora" in values:
            parts["lora"] = build(LoraSettings, values["lora"], "lora")
        if "mixing" in values:
            parts["mixing"] = parse_mixing(values["mixing"], mixed_names(datasets, tasks))
        settings = build(cls, {**values, **parts}, "configuration")
        settings._check()
        return settings

    @property
    def languages(self) -> list[str]:
        """The codes of `language`."""
        return [self.language] if isinstance(self.language, str) else self.language or []

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)

    def _check(self) -> None:
        self._check_start()
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {list(POOLINGS)}, found {self.pooling!r}. Choose one of these.")
        if self.max_length is not None and self.max_length < 3:
            raise ValueError(f"max_length must be at least 3 tokens, found {self.max_length}. Use 128 for sentences.")
        check_license(self.license)
        check_languages(self.languages)
        if self.invalid_rows not in INVALID_ROWS:
            raise ValueError(
                f"invalid_rows must be one of {list(INVALID_ROWS)}, found {self.invalid_rows!r}. Choose one of these."
            )
        if not self.datasets:
            raise ValueError("datasets: there must be at least one, found none. Add one with path, text and targets.")
        for name, dataset in self.datasets.items():
            dataset.check(f"datasets.{name}", self.tasks)
        if self.lora is not None:
            self.lora.check()
        self._check_comparison()
        if self.from_checkpoint is None:
            self.check_fed()
        for name, task in self.tasks.items():
            if isinstance(task.class_weights, str) and task.class_weights != BALANCED:
                raise ValueError(
                    f"tasks.{name}.class_weights must be {BALANCED!r}, a list or a mapping from labels, found "
                    f"{task.class_weights!r}. Correct it."
                )
            if task.score_range is not None and task.problem_type is None:
                raise ValueError(
                    f"tasks.{name}.problem_type must be given beside score_range, found none: a similarity is never "
                    "guessed. Write problem_type: similarity, or leave score_range out."
                )
        parse_tasks(task.provisional(name) for name, task in self.tasks.items())

    def check_fed(self, earlier: Collection[str] = ()) -> None:
        """Raise unless every task, but for those that an `earlier` model has, has targets in a dataset.

        Raises:
            ValueError: One has none.
        """
        fed = {task for dataset in self.datasets.values() for task in dataset.targets}
        unfed = [task for task in self.tasks if task not in fed and task not in earlier]
        if unfed:
            raise ValueError(
                f"Every task must have targets in a dataset, found none for {unfed}. Add them to a dataset's targets, "
                "or remove the task."
            )

    def _check_comparison(self) -> None:
        """Raise unless models of single tasks can be compared with this one, where they are to be.

        Raises:
            ValueError: They cannot.
        """
        if self.compare_seeds < 1:
            raise ValueError(
                f"compare_seeds must be at least 1, found {self.compare_seeds}. Leave it out for {DEFAULT_SEEDS}."
            )
        if not self.compare_single_task:
            if self.compare_pairs:
                raise ValueError(
                    "compare_pairs must be left out without compare_single_task, found true: a pair is compared with "
                    "models of single tasks. Write compare_single_task: true too."
                )
            if self.compare_seeds != DEFAULT_SEEDS:
                raise ValueError(
                    f"compare_seeds must be left out without compare_single_task, found {self.compare_seeds}: nothing "
                    "is compared. Write compare_single_task: true too."
                )
            return
        if self.from_checkpoint is not None:
            raise ValueError(
                "compare_single_task must be left out where from_checkpoint is given, found true: its encoder has "
                "learnt the earlier tasks together. Start from a backbone."
            )
        streamed = [name for name, dataset in self.datasets.items() if dataset.streaming]
        if streamed:
            raise ValueError(
                "compare_single_task must be left out where datasets are streamed, found true and the streamed "
                f"datasets {streamed}: their rows cannot be chosen by task. Remove streaming, or compare_single_task."
            )

    def _check_start(self) -> None:
        """Raise unless there is one thing to start from, and what is said of it can be."""
        if self.backbone is None and self.from_checkpoint is None:
            raise ValueError(
                "One of backbone and from_checkpoint must be given, found neither. Add backbone, with a Hub id for "
                "instance."
            )
        if self.backbone is not None and self.from_checkpoint is not None:
            raise ValueError(
                f"backbone must be left out where from_checkpoint is given, found {self.backbone!r}: the earlier model "
                "brings its encoder. Remove one of the two."
            )
        if self.retain is not None and self.retain not in RETAIN:
            raise ValueError(f"retain must be one of {list(RETAIN)}, found {self.retain!r}. Choose one of these.")
        if self.retain is not None and self.from_checkpoint is None:
            raise ValueError(
                f"retain must be left out without from_checkpoint, found {self.retain!r}: there are no earlier tasks "
                "to keep. Remove it, or add from_checkpoint."
            )
        if self.from_checkpoint is not None and self.lora is not None and not self.lora.merge:
            raise ValueError(
                "lora.merge must be true where from_checkpoint is given, found false: adapters alone would need the "
                "earlier model to be used. Leave it out."
            )


def mixed_names(datasets: Mapping[str, DatasetSettings], tasks: Mapping[str, TaskSettings]) -> list[str]:
    """Names of what is mixed: the datasets, and the second forms of those that have two."""
    similarities = {name for name, task in tasks.items() if task.problem_type == "similarity"}
    return [form for name, dataset in datasets.items() for form in dataset.forms(name, similarities)]
