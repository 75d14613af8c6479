"""The precision of a Trainer, which accelerate puts into a model's `forward`: there while it computes, not behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.utils import extract_model_from_parallel
from torch import nn


def make_plain(model: nn.Module) -> None:
    """Take out of a model what a Trainer, whichever it was, put there for its precision."""
    extract_model_from_parallel(model, keep_fp32_wrapper=False)
    model.__dict__.pop("_is_accelerate_prepared", None)
    if getattr(model.__dict__.get("forward"), "__func__", None) is type(model).forward:
        del model.forward  # accelerate leaves the plain one bound to the model


@contextmanager
def own_precision(trainer: Any) -> Iterator[None]:
    """Evaluate as `trainer` trains, whoever had the model before; behind it, the model is plain.

    In a run it is so already. What wraps the model as a whole, as for several processes, is left alone.
    """
    accelerator, model = trainer.accelerator, trainer.model
    if trainer.is_in_train or not can_be_plain(trainer):
        yield
        return
    make_plain(model)
    accelerator._models = [prepared for prepared in accelerator._models if prepared is not model]  # to prepare it anew
    try:
        yield
    finally:
        make_plain(model)


def can_be_plain(trainer: Any) -> bool:
    """Whether nothing but a precision was put around the model of a Trainer."""
    return trainer.model_wrapped is trainer.model and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
