"""What a Trainer writes and reads: checkpoints, complete or not at all."""

import contextlib
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, IntervalStrategy, rotate_checkpoints

from ..modeling.saved_folder import check_no_other_code
from .checkpoints import (
    check_goes_on,
    drop_aside,
    mark_complete,
    remove_cut_off,
    restore_aside,
    set_aside,
    what_is_missing,
)
from .output_folder import last_checkpoint, write_errors_explained
from .precision import make_plain
from .process_group import let_threads_end
from .pushing_trainer import PushingTrainer
from .replaced import replaced


class SavingTrainer(PushingTrainer):
    """As [`Trainer`], but a run that is killed at any moment goes on from its last complete checkpoint to the same end.

    - A checkpoint is complete once [`mark_complete`] has listed its files; an older one is removed only then.
    - A checkpoint holds plain files and the code of its model, and fits the model that it is read into.
    """

    model: Any
    _ended_step: int | None = None
    _saves_at_epoch_end = False

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer.train`]; `resume_from_checkpoint=True` means the last complete checkpoint.

        Raises:
            ValueError: There is none, it has weights alone, and steps are left, or the model's code would replace files
                in `output_dir`.
        """
        check_no_other_code(Path(str(self.args.output_dir)), self.model.config.model_type)
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_checkpoint(self.args)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As [`Trainer._save_checkpoint`], complete or not at all.

        Raises:
            OSError: The checkpoint could not be written. Nothing of it is left, and older ones are untouched.
        """
        folder = Path(self._get_output_dir(trial))
        checkpoint = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        writes = self.args.should_save
        with write_errors_explained(checkpoint):
            if writes:
                set_aside(checkpoint)
            self.accelerator.wait_for_everyone()  # no process may write there before
            try:
                with replaced(self.args, save_total_limit=None, push_to_hub=False):  # both come after the mark
                    super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()  # nor may one still write when the files are listed
                if writes:
                    mark_complete(checkpoint)
            except BaseException:
                if writes:
                    restore_aside(checkpoint)
                raise
        if writes:
            drop_aside(checkpoint)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(checkpoint))
        if writes and self.args.save_total_limit:
            remove_cut_off(folder)
            rotate_checkpoints(str(folder), self.args.save_total_limit, self.state.best_model_checkpoint, True)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """As [`Trainer._maybe_log_save_evaluate`], but the last step of an epoch is saved after the epoch's evaluation.

        A run that resumes there begins with the next epoch. An evaluation it left out would be missing from the random
        numbers drawn, the rates of a scheduler that follows the metrics and the patience of early stopping.
        """
        if self._ended_step == self.state.global_step:  # called for the end of an epoch
            self.control.should_save |= self._saves_at_epoch_end
            self._ended_step, self._saves_at_epoch_end = None, False
        else:
            self._ended_step = self.state.global_step
            ends_epoch = float(self.state.epoch or 0.0).is_integer()
            if self.control.should_save and ends_epoch and self.args.eval_strategy == IntervalStrategy.EPOCH:
                self.control.should_save, self._saves_at_epoch_end = False, True
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._inner_training_loop`], but a resumed run has made the evaluation of its start.

        Made again, it would count as one more without an improvement.
        """
        starts = kwargs.get("resume_from_checkpoint") is None
        with replaced(self.args, eval_on_start=self.args.eval_on_start and starts):
            return super()._inner_training_loop(*args, **kwargs)

    def _init_training_state(
        self, max_steps: int, steps_per_epoch: int, epochs: int, resume_from_checkpoint: str | None, trial: Any
    ) -> Any:
        """As [`Trainer._init_training_state`], with nothing left of a run before but what a checkpoint holds of it."""
        self._ended_step, self._saves_at_epoch_end = None, False
        for callback in self._early_stopping():
            callback.early_stopping_patience_counter = 0
        found = super()._init_training_state(max_steps, steps_per_epoch, epochs, resume_from_checkpoint, trial)
        if resume_from_checkpoint is not None and self.state.global_step < max_steps:
            check_goes_on(Path(resume_from_checkpoint))
        return found

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """As [`Trainer._run_epoch`], which would make one more step of a resumed run that has made its last."""
        stopped_early = any(
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self._early_stopping()
        )
        if stopped_early or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if not self.control.should_training_stop:  # a callback may have said so, too
            super()._run_epoch(*args, **kwargs)

    def _load_callback_state(self) -> None:
        """As [`Trainer._load_callback_state`]; how long early stopping waits is what this run says, not the one before.

        How long it has waited is the checkpoint's.
        """
        states: Any = self.state.stateful_callbacks
        saved = states.get(EarlyStoppingCallback.__name__, [])
        saved = saved if isinstance(saved, list) else [saved]
        for callback, state in zip(self._early_stopping(), saved, strict=False):  # one may have been added since
            state["args"] = callback.state()["args"]
        super()._load_callback_state()

    def _early_stopping(self) -> list[EarlyStoppingCallback]:
        return [callback for callback in self.callback_handler.callbacks if isinstance(callback, EarlyStoppingCallback)]

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._finalize_training`], with the loss of all processes since the last line of the log.

        It may remove the last checkpoint: not of a run that is to go on.
        """
        if self.args.world_size > 1:
            self._tr_loss = self.accelerator.reduce(self._tr_loss, "mean")
        goes_on = self.state.global_step < self.state.max_steps
        with replaced(self.args, save_total_limit=None) if goes_on else contextlib.nullcontext():
            return super()._finalize_training(*args, **kwargs)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._prepare_for_training`], whatever Trainer had the model before; see [`_keep_name`] too."""
        if self.model_wrapped is self.model:  # else this one has trained it already
            make_plain(self.model)  # the precision of an earlier Trainer would stay, whatever this one is told
        prepared = super()._prepare_for_training(*args, **kwargs)
        _keep_name(self.model)
        return prepared

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As [`Trainer._load_from_checkpoint`].

        Raises:
            ValueError: The checkpoint's pooling or tasks are others: its heads would answer other questions.
        """
        if (Path(resume_from_checkpoint) / "config.json").is_file():
            config = type(self.model.config).from_pretrained(resume_from_checkpoint)
            saved, wanted = ((c.pooling, [_question(task) for task in c.tasks]) for c in (config, self.model.config))
            if saved != wanted:
                raise ValueError(
                    f"A resumed run must have the pooling, tasks and labels of its checkpoint, {saved}, found "
                    f"{wanted}. Restore them in the configuration, or start a new run."
                )
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """As [`Trainer._save`], without the pickled arguments: they hold `hub_token`, and loading them runs code.

        Adapters alone get the model's configuration beside them, without which nobody knows what their heads answer.
        """
        folder = Path(output_dir or self.args.output_dir or ".")
        card = folder / "README.md"
        kept = card.read_bytes() if card.is_file() else None
        super()._save(output_dir, state_dict)
        (folder / "training_args.bin").unlink(missing_ok=True)
        if self._plain_model() is not self.accelerator.unwrap_model(self.model):
            self.model.config.save_pretrained(folder)
            card.unlink(missing_ok=True)  # peft's, which knows of no task, and changes one that is there
            if kept is not None:
                card.write_bytes(kept)
        self._model_files = tuple(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def save_checkpoint(self) -> None:
        """Save a checkpoint of where the run stands, unless there is one."""
        checkpoint = Path(self._get_output_dir(None)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if what_is_missing(checkpoint) is not None:
            self._save_checkpoint(self.model_wrapped, None)

    def end(self) -> None:
        """Finish the trackers and leave the process group; call it once, at the very end of a script."""
        if self.args.world_size > 1:
            self.accelerator.wait_for_everyone()
            let_threads_end()
        self.accelerator.end_training()


def _question(task: Any) -> dict[str, Any]:
    """What decides the meaning of a head's outputs, as far as it is not the default."""
    keys = ("name", "problem_type", "labels", "target_mean", "target_std", "score_range")
    return {key: value for key in keys if (value := getattr(task, key))}


def _keep_name(model: Any) -> None:
    """Name the class that `fully_shard` gave a model as the class it was: its code is found, and saved, by the name."""
    sharded = type(model)
    if sharded.__name__.startswith("FSDP"):
        plain = sharded.__mro__[2]  # after the sharded class itself and FSDPModule
        sharded.__name__, sharded.__module__ = plain.__name__, plain.__module__
