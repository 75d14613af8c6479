"""What a run starts from: a bare encoder, or an earlier multi-task model with its tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from ..backbones import resolve_backbone
from ..modeling.configuration_multitask import MultiTaskConfig
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.reading import UNLIMITED
from ..modeling.sentence_transformers_layout import read_layout
from ..modeling.task import Task
from ..modeling.tokenizer_source import load_tokenizer
from ..opening import read_config
from ..settings.run_settings import RunSettings

MAX_LENGTH = 128
"""Tokens per text, where neither the configuration nor an earlier model says."""


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Args:
        source: A local folder or a Hub id.
        tokenizer: Its tokenizer.
        max_length: Tokens per text, at most.
        pooling: How token embeddings become the sentence embedding; `None` for the source's own way.
        earlier: The tasks that it has already; none of a bare encoder.
    """

    source: str
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    pooling: str | None
    earlier: tuple[Task, ...] = ()


def find_start(settings: RunSettings) -> Start:
    """What `settings` want the run to start from, without its weights.

    Raises:
        ValueError: It cannot be found, is of another kind, or has another pooling than the one that is wanted.
    """
    if settings.from_checkpoint is None:
        source = resolve_backbone(settings.backbone or "")
        layout = read_layout(source, settings.pooling)
        tokenizer = load_tokenizer(source, subfolder=layout.subfolder)
        max_length = settings.max_length or min(layout.max_length or MAX_LENGTH, tokenizer.model_max_length)
        return Start(source, tokenizer, max_length, settings.pooling)
    config = _earlier_config(settings.from_checkpoint)
    if settings.pooling not in (None, config.pooling):
        raise ValueError(
            f"pooling must be that of from_checkpoint, {config.pooling!r}, found {settings.pooling!r}: its heads read "
            "these embeddings. Leave it out."
        )
    tokenizer = load_tokenizer(settings.from_checkpoint)
    reads = tokenizer.model_max_length if tokenizer.model_max_length < UNLIMITED else MAX_LENGTH
    return Start(settings.from_checkpoint, tokenizer, settings.max_length or reads, config.pooling, tuple(config.tasks))


def load_start(start: Start, tasks: Sequence[Task]) -> MultiTaskModel:
    """The model with the weights of `start` and a head for each of the `tasks`: the earlier ones, then new ones.

    The tokenizer of `start` then knows how much the encoder can read, which many do not say by themselves.

    Raises:
        ValueError: Weights of an earlier model are missing, or not of the shape that its configuration says.
    """
    if start.earlier:
        model = _load_earlier(start, tasks)
    else:
        model = MultiTaskModel.from_backbone(start.source, tasks=tasks, pooling=start.pooling)
    model.tokenizer = start.tokenizer
    return model


def _load_earlier(start: Start, tasks: Sequence[Task]) -> MultiTaskModel:
    model, info = MultiTaskModel.from_pretrained(start.source, dtype=torch.float32, output_loading_info=True)
    wrong = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if wrong:
        raise ValueError(
            f"from_checkpoint must hold all weights of its model, found none that fit for {wrong[:5]} in "
            f"{start.source}. Choose a checkpoint that is whole."
        )
    for task in tasks[len(start.earlier) :]:
        model.add_task(task)
    model.config.tasks = list(tasks)  # the earlier ones too may be trained with other weights now
    loaded: MultiTaskModel = model
    return loaded


def _earlier_config(source: str) -> MultiTaskConfig:
    """The configuration of an earlier model.

    Raises:
        ValueError: There is none, or it is that of something else.
    """
    try:
        return read_config(source)
    except (OSError, ValueError) as error:
        raise ValueError(f"from_checkpoint must be a trained multi-task model. {error}") from error
