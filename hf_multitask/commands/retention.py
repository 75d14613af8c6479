"""How the tasks of an earlier model are kept while its encoder learns others."""

import logging
from collections.abc import Mapping

from datasets import Dataset

from ..data.collation import MultiTaskCollator
from ..data.prepared_data import PreparedData
from ..modeling.modeling_multitask import MultiTaskModel
from ..training.arguments import MultiTaskTrainingArguments
from ..training.distillation import teach, warn_of_untaught
from ..training.freezing import freeze
from .starting_model import Start

logger = logging.getLogger(__name__)


def choose_retention(wanted: str | None, encoder_learns: bool, data: PreparedData) -> str:
    """How earlier tasks are kept in this run: by `replay`, `distill` or `none`, or as they are (`frozen`).

    Without a wish, by distillation where the encoder learns and one of them has no training rows.

    Args:
        wanted: The configuration's `retain`.
        encoder_learns: Whether any of the encoder's weights are trained.
        data: The run's rows.

    Raises:
        ValueError: What is wanted cannot be done.
    """
    untrained = data.untrained
    if wanted == "replay" and untrained:
        raise ValueError(
            f"retain: replay needs training rows of every task of from_checkpoint, found none for {untrained}. Add "
            "datasets with targets for them (max_rows keeps these small), or write retain: distill."
        )
    if wanted == "distill" and not encoder_learns:
        raise ValueError(
            "retain must be left out where the encoder is frozen, found 'distill': the earlier tasks answer as before. "
            "Remove it."
        )
    if wanted != "distill" and not untrained:
        return "replay"
    if not encoder_learns:
        return "frozen"
    if wanted == "none":
        logger.warning(
            "retain: none: the encoder learns, and nothing keeps the earlier tasks %s, which may get worse", untrained
        )
        return "none"
    if data.streams:
        raise ValueError(
            "retain: distill needs rows that can be read before training, found the streamed datasets "
            f"{list(data.streams)}. Remove streaming, or write retain: none, or replay."
        )
    return "distill"


def retain_tasks(
    wanted: str | None, start: Start, model: MultiTaskModel, data: PreparedData, args: MultiTaskTrainingArguments
) -> str:
    """How the tasks of `start` are kept, in a word of [`choose_retention`]; empty where it has none.

    Freezes the heads that nothing trains, by adding them to `args.freeze`: so their outputs depend on nothing but the
    encoder.

    Args:
        wanted: The configuration's `retain`.
        start: What the run starts from.
        model: The model, before it is trained.
        data: The run's rows.
        args: The training arguments.

    Raises:
        ValueError: What is wanted cannot be done.
    """
    if not start.earlier:
        return ""
    freeze(model, args.freeze or [])
    encoder_learns = any(parameter.requires_grad for parameter in model.backbone.parameters())
    retention = choose_retention(wanted, encoder_learns, data)
    if retention != "distill":
        args.freeze = [*(args.freeze or []), *(f"heads.{name}" for name in data.untrained if name in model.heads)]
    return retention


def teach_tasks(
    rows: Mapping[str, Dataset], start: Start, model: MultiTaskModel, args: MultiTaskTrainingArguments
) -> dict[str, Dataset]:
    """The tokenised training `rows`, by dataset, with what `model`, not trained yet, answers to the earlier tasks."""
    tasks = model.config.tasks[: len(start.earlier)]
    logger.info("The answers to %d earlier tasks are computed for all training texts", len(tasks))
    collate = MultiTaskCollator(start.tokenizer, model.config.tasks)
    how = (tasks, collate, args.per_device_eval_batch_size, args.device)
    taught = {name: teach(model, found, *how) for name, found in rows.items()}
    warn_of_untaught(taught.values(), tasks)
    return taught
