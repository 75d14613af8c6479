"""Arguments of transformers' Trainer that with several tasks would be silently wrong, or end a run on its way."""

from operator import attrgetter
from typing import Any, NamedTuple, NoReturn


class Refused(NamedTuple):
    """An argument that has to keep its value.

    Args:
        name: Its name, with dots for what it holds.
        allowed: What it may be; the first is what a message tells to pass.
        why: What would happen otherwise.
    """

    name: str
    allowed: tuple[Any, ...]
    why: str


NOT_SHARED = (
    "a batch without a label for a task does not use its head, and would end the run, or its gradients not be shared"
)
CASTS = "evaluation would cast the weights, and what is saved afterwards too"

REFUSED = (
    Refused("label_smoothing_factor", (0.0,), "it smooths one tensor of labels, not several"),
    Refused("average_tokens_across_devices", (True,), "each task's loss is a mean over the rows of all processes"),
    Refused("remove_unused_columns", (False,), "it would remove the rows' targets"),
    Refused("label_names", (["labels"], None), "all tasks' labels travel in the one argument `labels`"),
    Refused("batch_eval_metrics", (False,), "F1 and correlations are not means over batches"),
    Refused("eval_do_concat_batches", (True,), "metrics are computed over the whole split"),
    Refused("prediction_loss_only", (False,), "evaluation losses are computed from the logits of the whole split"),
    Refused("bf16_full_eval", (False,), CASTS),
    Refused("fp16_full_eval", (False,), CASTS),
    Refused("dataloader_in_order", (True,), "the order of the rows is a function of the seed alone"),
    Refused("auto_find_batch_size", (False,), "the batch decides the order of the rows"),
    Refused("accelerator_config.split_batches", (False,), "each process makes its own batches"),
)

REFUSED_TOGETHER = (
    Refused("eval_use_gather_object", (False,), "the logits of several tasks are gathered as tensors"),
    Refused("accelerator_config.dispatch_batches", (False, None), "the last batch of an evaluation may be short"),
    Refused("accelerator_config.even_batches", (True,), "processes would gather different batches"),
    Refused("ddp_find_unused_parameters", (True,), NOT_SHARED),
    Refused("ddp_static_graph", (False, None), NOT_SHARED),
)
"""Of several processes."""


def check_none_refused(args: Any) -> None:
    """Raise where one of [`REFUSED`] has another value, or of several processes one of [`REFUSED_TOGETHER`].

    Raises:
        ValueError: It has.
    """
    for name, allowed, why in REFUSED + (REFUSED_TOGETHER if args.world_size > 1 else ()):
        found = attrgetter(name)(args)
        if found not in allowed:
            refuse(name, found, allowed[0], why)


def refuse(name: str, found: Any, instead: Any, why: str) -> NoReturn:
    """Raise for an argument that is one of these, whatever it depends on."""
    raise ValueError(
        f"{name} must be {instead!r} for a multi-task model, found {found!r}: {why}. Pass {name}={instead!r}."
    )
