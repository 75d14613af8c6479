"""When there is nothing to balance or to compare."""

import logging
from collections.abc import Sequence
from typing import Any

from ..balancing.methods import GRADIENT_METHODS
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .layerwise import find_backbone

logger = logging.getLogger(__name__)


def check_can_balance(model: Any, tasks: Sequence[Task], args: MultiTaskTrainingArguments) -> None:
    """Raise where balancing, or the conflict of gradients, has no meaning for `model`.

    Args:
        model: The [`MultiTaskModel`].
        tasks: Its tasks with a weight in the loss.
        args: The Trainer's.

    Raises:
        ValueError: There is only one task; or gradients are to be looked at, and nothing of the encoder learns.
    """
    asked = [] if args.balancing == "sum" else [f"balancing={args.balancing!r}"]
    of_gradients = asked if args.balancing in GRADIENT_METHODS else []
    if args.conflict_steps:
        asked, of_gradients = ([*names, f"conflict_steps={args.conflict_steps}"] for names in (asked, of_gradients))
    if asked and len(tasks) < 2:
        raise ValueError(
            f"{asked[0]} needs two tasks with a loss_weight, found {[task.name for task in tasks]}. Leave it out."
        )
    if of_gradients and not any(parameter.requires_grad for parameter in find_backbone(model).parameters()):
        raise ValueError(
            f"{of_gradients[0]} needs an encoder that learns, found all of it frozen, so that its embeddings are "
            "computed once and no gradient reaches it. Leave it out, or freeze less."
        )
    if args.balancing == "dwa" and args.max_steps <= 0 and args.num_train_epochs <= 2:
        logger.warning(
            "balancing='dwa' does nothing in the first two epochs, and there are no more: num_train_epochs=%s",
            args.num_train_epochs,
        )
