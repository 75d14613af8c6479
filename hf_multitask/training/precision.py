"""The precision of a Trainer, which accelerate puts into a model's `forward`: there while it computes, not behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.nn.parallel import DistributedDataParallel

PUT_THERE = ("forward", "_original_forward", "_is_accelerate_prepared")
"""Attributes of a model that accelerate has prepared."""


def make_plain(model: nn.Module) -> None:
    """Take out of a model what a Trainer, whichever it was, put there for its precision."""
    extract_model_from_parallel(model, keep_fp32_wrapper=False)
    model.__dict__.pop("_is_accelerate_prepared", None)
    if getattr(model.__dict__.get("forward"), "__func__", None) is type(model).forward:
        del model.forward  # accelerate leaves the plain one bound to the model


@contextmanager
def own_precision(trainer: Any) -> Iterator[None]:
    """Evaluate as `trainer` trains, whoever has the model besides; behind it, the model is as it was.

    In a run it is so already. What shards or compiles the model as a whole is left alone.
    """
    accelerator, model = trainer.accelerator, trainer.model
    has_precision = accelerator.native_amp or "_original_forward" in model.__dict__  # the Trainer's, or another's
    if trainer.is_in_train or not _can_be_plain(trainer) or not has_precision:
        yield
        return
    before = {name: model.__dict__[name] for name in PUT_THERE if name in model.__dict__}
    make_plain(model)
    _forget(accelerator, model)  # so that it is prepared
    try:
        yield
    finally:
        make_plain(model)
        _forget(accelerator, model)
        trainer.model_wrapped = model  # it may have been compiled
        model.__dict__.update(before)


def leave_plain(trainer: Any) -> None:
    """Take what a run put into and around its model away again, behind the run."""
    if _can_be_plain(trainer):
        make_plain(trainer.model)
        _forget(trainer.accelerator, trainer.model)
        trainer.model_wrapped = trainer.model


def _forget(accelerator: Any, model: nn.Module) -> None:
    accelerator._models = [prepared for prepared in accelerator._models if prepared is not model]


def _can_be_plain(trainer: Any) -> bool:
    """Whether nothing was put around the model of a Trainer but a precision and what sums over processes."""
    is_whole = not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
    return is_whole and _unwrapped(trainer.model_wrapped) is trainer.model


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model
