"""When there is nothing to balance or to compare."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from ..balancing.methods import GRADIENT_METHODS
from ..data.batches import BatchOrder
from ..data.mixing import Mixture
from ..data.streaming import StreamedBatches
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .layerwise import find_backbone

logger = logging.getLogger(__name__)


def check_can_balance(
    model: Any,
    tasks: Sequence[Task],
    args: MultiTaskTrainingArguments,
    order: BatchOrder | StreamedBatches | None = None,
) -> None:
    """Raise where balancing, or the conflict of gradients, has no meaning for `model`.

    Args:
        model: The [`MultiTaskModel`].
        tasks: Its tasks with a weight in the loss.
        args: The Trainer's.
        order: The training batches, where they are known.

    Raises:
        ValueError: There is only one task; gradients are to be looked at, and nothing of the encoder learns; they are
            to be looked at by depth, which something forbids; or `dwa` has no epochs.
    """
    asked = [] if args.balancing == "sum" else [f"balancing={args.balancing!r}"]
    of_gradients = asked if args.balancing in GRADIENT_METHODS else []
    if args.conflict_steps:
        asked, of_gradients = ([*names, f"conflict_steps={args.conflict_steps}"] for names in (asked, of_gradients))
    if asked and len(tasks) < 2:
        raise ValueError(
            f"{asked[0]} needs two tasks with a loss_weight, found {[task.name for task in tasks]}. Leave it out."
        )
    if args.conflict_by_depth:
        _check_depth(args)
    if of_gradients and isinstance(order, BatchOrder) and _has_embeddings(order.rows):
        raise ValueError(
            f"{of_gradients[0]} needs texts, found rows with a sentence_embedding, from which no gradient reaches the "
            "encoder. Leave it out, or pass rows with input_ids."
        )
    if of_gradients and not any(parameter.requires_grad for parameter in find_backbone(model).parameters()):
        raise ValueError(
            f"{of_gradients[0]} needs an encoder that learns, found all of it frozen, so that its embeddings are "
            "computed once and no gradient reaches it. Leave it out, or freeze less."
        )
    if args.balancing == "dwa" and isinstance(order, StreamedBatches):
        raise ValueError(
            "balancing='dwa' needs epochs, found streamed datasets, which are one. Choose another, such as 'famo'."
        )
    if args.balancing == "dwa" and isinstance(order, BatchOrder) and order.num_epochs <= 2:
        logger.warning(
            "balancing='dwa' does nothing in the first two epochs, and there are no more: %g", order.num_epochs
        )


def _has_embeddings(rows: Any) -> bool:
    return isinstance(rows, Mixture) and any("sentence_embedding" in d.column_names for d in rows.datasets.values())


def _check_depth(args: MultiTaskTrainingArguments) -> None:
    checkpointing: Any = (args.activation_checkpointing and args.activation_checkpointing_kwargs) or {}
    forbidden = {
        "fsdp": args.fsdp or os.environ.get("ACCELERATE_USE_FSDP") == "true",
        "deepspeed": args.deepspeed,
        "torch_compile": args.torch_compile,
        "fp16": args.fp16,  # the gradients of a loss that is not scaled vanish
        "activation_checkpointing with use_reentrant": checkpointing.get("use_reentrant"),
    }
    for name in (name for name, found in forbidden.items() if found):
        raise ValueError(
            "conflict_by_depth needs whole parameters, in float32 or bfloat16, and backward passes that can be "
            f"repeated, found {name}. Leave it out; conflict_steps alone works."
        )
