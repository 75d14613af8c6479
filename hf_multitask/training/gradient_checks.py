"""When there is nothing to balance or to compare."""

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

from ..balancing.methods import GRADIENT_METHODS, WEIGHTINGS
from ..data.batches import BatchOrder
from ..data.mixing import Mixture
from ..data.streaming import StreamedBatches
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .layerwise import find_backbone

logger = logging.getLogger(__name__)

BY_PROGRESS = ("famo", "gradnorm", "mgda")
"""Methods that give most to a task whose loss, or gradient, is small."""

LEAST_WAY = 0.7
"""How far a logarithm of a factor should be able to move: it doubles or halves."""


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
            to be looked at by depth, which something forbids; `dwa` has no epochs; or some tasks only hold on to
            another model's answers, and the method would give them all.
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
    if of_gradients and isinstance(order, BatchOrder) and _has_columns(order.rows, "sentence_embedding"):
        raise ValueError(
            f"{of_gradients[0]} needs texts, found rows with a sentence_embedding, from which no gradient reaches the "
            "encoder. Leave it out, or pass rows with input_ids."
        )
    if of_gradients and not any(parameter.requires_grad for parameter in find_backbone(model).parameters()):
        raise ValueError(
            f"{of_gradients[0]} needs an encoder that learns, found all of it frozen, so that its embeddings are "
            "computed once and no gradient reaches it. Leave it out, or freeze less."
        )
    if args.balancing in BY_PROGRESS and isinstance(order, BatchOrder) and _has_columns(order.rows, "teacher_logits"):
        raise ValueError(
            f"balancing={args.balancing!r} needs losses that say how much is left to learn, found answers of another "
            "model, from which a task has no distance at first: it would get nearly all, and new tasks nothing. Leave "
            "it out, or take retain: replay."
        )
    if args.balancing in WEIGHTINGS and args.gradient_accumulation_steps > 1:
        logger.warning(
            "balancing=%r weighs the tasks of each micro-batch by themselves, %d in an effective batch: tasks that do "
            "not meet in one are just summed. Raise per_device_train_batch_size rather than "
            "gradient_accumulation_steps",
            args.balancing,
            args.gradient_accumulation_steps,
        )
    if args.balancing == "uncertainty" and isinstance(order, BatchOrder):
        steps = len(order) * order.num_epochs / args.gradient_accumulation_steps
        if steps * args.head_learning_rate < LEAST_WAY:
            logger.warning(
                "balancing='uncertainty' moves a factor by no more than %.3g times in %d steps at a "
                "head_learning_rate of %g, which is near the plain sum. Raise it, or choose another, such as 'famo'",
                math.exp(steps * args.head_learning_rate),
                steps,
                args.head_learning_rate,
            )
    if args.balancing == "dwa" and isinstance(order, StreamedBatches):
        raise ValueError(
            "balancing='dwa' needs epochs, found streamed datasets, which are one. Choose another, such as 'famo'."
        )
    if args.balancing == "dwa" and isinstance(order, BatchOrder) and order.num_epochs <= 2:
        logger.warning(
            "balancing='dwa' does nothing in the first two epochs, and there are no more: %g", order.num_epochs
        )


def _has_columns(rows: Any, name: str) -> bool:
    return isinstance(rows, Mixture) and any(name in dataset.column_names for dataset in rows.datasets.values())


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
