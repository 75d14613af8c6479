"""One training run, all its input checked and all its parts built."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets
from transformers import PreTrainedTokenizerBase, set_seed
from transformers.trainer_utils import IntervalStrategy

from ..data.mixing import Mixture
from ..data.preparation import prepare
from ..data.prepared_data import PreparedData
from ..data.split_record import check_same_splits, check_same_training_rows, split_record
from ..data.statistics import numbers
from ..data.streaming import StreamedMixture
from ..evaluation.task_metrics import check_admitted
from ..settings.command_line import parse_command_line
from ..settings.run_settings import RunSettings
from ..training.adapters import add_lora
from ..training.argument_parser import argument_names, parse_arguments
from ..training.layerwise import find_backbone
from ..training.output_folder import claim_output_folder
from ..training.recorded_splits import RecordedSplits, recorded_splits
from ..training.trainer import MultiTaskTrainer
from .compared_split import check_comparison
from .retention import retain_tasks, teach_tasks
from .starting_model import Start, find_start, load_start

EVALUATED = ("validation", "test")
"""Splits that are scored, those of them that there are."""


@dataclass(frozen=True)
class Run:
    """A run that can start.

    Args:
        settings: What it was told.
        data: Its rows, mapped to targets.
        tokenizer: The backbone's.
        start: What its model starts from.
        trainer: With the model and the training rows.
        evaluated: Per split that is scored, its rows.
        checkpoint: The checkpoint it continues from, if it does.
        earlier: Names of the tasks of the model that it starts from, where that has any.
        retention: How these are kept; see [`choose_retention`].
    """

    settings: RunSettings
    data: PreparedData
    tokenizer: PreTrainedTokenizerBase
    start: Start
    trainer: MultiTaskTrainer
    evaluated: dict[str, Any]
    checkpoint: str | None
    earlier: tuple[str, ...] = ()
    retention: str = ""

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return Path(str(self.trainer.args.output_dir))


def set_up(words: Sequence[str], default: Path | None) -> Run:
    """The run that the words of a command line describe; whatever is wrong with its input is found here.

    Args:
        words: Maybe the path of a configuration file, then flags.
        default: The configuration file to use where `words` name none.

    Raises:
        ValueError: Something in the configuration, the data or the output folder cannot be.
        OSError: Something cannot be read or written.
        ImportError: A package is missing.
    """
    settings = parse_command_line(words, default, argument_names())
    given = settings.training
    often = {f"{what}_strategy": "steps" if f"{what}_steps" in given else "epoch" for what in ("eval", "save")}
    args = parse_arguments({**often, **given})
    with args.main_process_first(desc="preparing the data"):
        start = find_start(settings)
        data = prepare(settings, earlier=start.earlier)
        if settings.sample_texts and not any(task.has_head for task in data.tasks):
            raise ValueError(
                "sample_texts must be answered by a task that reads single texts, found only similarities. Leave "
                "sample_texts out: pairs of the data are shown."
            )
    if settings.from_checkpoint is not None:
        _check_splits_of_start(settings, data, {task.name for task in start.earlier})
    set_seed(args.seed)  # the heads' first values too are a function of the seed
    model = load_start(start, data.tasks)
    tokenizer = start.tokenizer
    max_length = settings.max_length or min(start.max_length, tokenizer.model_max_length)
    if data.streams and max_length > tokenizer.model_max_length:
        raise ValueError(
            f"max_length must be at most the {tokenizer.model_max_length} tokens of the backbone where a dataset is "
            f"streamed, found {max_length}: its longest text is not known. Lower max_length."
        )
    with args.main_process_first(desc="tokenising the data"):
        splits = data.tokenized(tokenizer, max_length)
    # So that it is saved: what was read in training is read in use.
    tokenizer.model_max_length = min(max_length, tokenizer.model_max_length)
    _check_metrics(data)
    evaluated = {split: concatenate_datasets(list(splits[split].values())) for split in EVALUATED if split in splits}
    if "validation" not in evaluated and "eval_strategy" not in settings.training:
        args.eval_strategy = IntervalStrategy.NO
    retention = retain_tasks(settings.retain, start, model, data, args)
    if retention == "distill":
        splits["train"] = teach_tasks(splits["train"], start, model, args)
    mixing = settings.mixing.among(splits["train"])
    train: Any = Mixture(splits["train"], mixing)
    if data.streams:
        train = StreamedMixture(splits["train"], data.streams, mixing, tokenizer, max_length)
    trainer = MultiTaskTrainer(
        model if settings.lora is None else add_lora(model, settings.lora),
        args,
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=evaluated.get("validation"),
    )
    if settings.lora is not None and not any(p.requires_grad for p in find_backbone(trainer.model).parameters()):
        raise ValueError(
            f"lora adapts the encoder, which must not be frozen as a whole then, found freeze: {args.freeze}. Leave "
            "one of the two out."
        )
    record = split_record(settings, data)
    trainer.add_callback(RecordedSplits(record))
    if settings.compare_single_task:
        check_comparison(trainer, evaluated)
    with args.main_process_first(desc="claiming the output folder"):
        checkpoint = claim_output_folder(args, settings.overwrite_output_dir)  # last: it may move an earlier run
    trainer.accelerator.wait_for_everyone()  # before the first of them writes there
    if checkpoint is not None:
        check_same_training_rows(recorded_splits(checkpoint), record)
    earlier = tuple(task.name for task in start.earlier)
    return Run(settings, data, tokenizer, start, trainer, evaluated, checkpoint, earlier, retention)


def _check_metrics(data: PreparedData) -> None:
    """Raise unless the targets that are scored admit the metrics that somebody asked for."""
    for task in data.tasks:
        if not task.has_classes:
            for split in data.splits.keys() & EVALUATED:
                check_admitted(task, numbers(task, data.splits[split].values()))


def _check_splits_of_start(settings: RunSettings, data: PreparedData, earlier: Collection[str]) -> None:
    """Raise if rows to be scored may be among those that the model the run starts from was trained on.

    Args:
        settings: Of the run.
        data: What they describe.
        earlier: Names of that model's tasks; datasets without targets for them are new to it.
    """
    record = recorded_splits(str(settings.from_checkpoint))
    known = {name for name, dataset in settings.datasets.items() if earlier & dataset.targets.keys()}
    for split in data.splits.keys() & EVALUATED:
        check_same_splits(record, settings, data, split, known)
