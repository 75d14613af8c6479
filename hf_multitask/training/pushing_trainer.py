"""What a Trainer pushes to the Hub, and what becomes of a push that fails."""

import logging
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, create_branch, hf_hub_download, run_as_future, upload_folder
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RevisionNotFoundError
from transformers import Trainer
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils.hub import PushInProgress

from ..modeling.hub import WEIGHTS, is_own_text, patiently
from ..publishing.model_card import render_model_card
from ..publishing.run_record import RunRecord
from .description import describe_trainer, record_so_far
from .staging import CHECKPOINT, KEPT_HERE, MODEL, remove_staged, stage_checkpoint, stage_folder

logger = logging.getLogger(__name__)

WHOLE = (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS)
"""Strategies by which a checkpoint is pushed too, from which a run can go on."""


class PushingTrainer(Trainer):
    """As [`Trainer`], but whatever is pushed can be opened and tells its results, and no push that fails costs a run.

    - The push of a checkpoint holds its weights, code, configuration and tokenizer, and a card with the results so far.
      With `hub_strategy="checkpoint"` or `"all_checkpoints"` the checkpoint itself follows, in a folder of its own.
    - It is made from a copy, which the training that goes on meanwhile does not change.
    - One that fails is warned about, and training goes on; a last one that fails raises when all is on the disk.
    """

    model: Any
    push_in_progress: Any
    record: RunRecord | None = None
    """What cards tell beside the results; by default what the Trainer itself knows."""

    _model_files: tuple[str, ...] = ()
    """Those files of the checkpoint last saved that are the model."""

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """As [`Trainer.init_hf_repo`], with the branch `hub_revision`.

        Raises:
            OSError: The Hub cannot be reached, or refuses.
        """
        advice = "Log in (`hf auth login`) with a token that may write there, correct hub_model_id, or leave "
        patiently(partial(super().init_hf_repo, token, private), f"{advice}push_to_hub out.")
        branch, token = self.args.hub_revision, token or self.args.hub_token
        if branch is not None and self.is_world_process_zero() and not branch.startswith("refs/pr"):
            repo = str(self.hub_model_id)
            patiently(partial(create_branch, repo, branch=branch, token=token, exist_ok=True), f"{advice}it out.")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As [`Trainer.push_to_hub`].

        Raises:
            OSError: The Hub cannot be reached, or refuses. Everything is in `output_dir`, and the message tells how to
                push it from there.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)  # by all processes
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)
        self._finish_current_push()
        folder = Path(str(self.args.output_dir))
        options: dict[str, Any] = {"token": token, "revision": revision}
        advice = _how_to_push(self.hub_model_id, folder, revision or self.args.hub_revision)
        if blocking:
            return self._upload(folder, commit_message, advice, ignore_patterns=KEPT_HERE, **options)
        jobs: Any = [run_as_future(self._upload_copy, stage_folder(folder), commit_message, advice, **options)]
        self.push_in_progress = PushInProgress(jobs)
        return jobs[0]

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,  # noqa: A002 - the name that Trainer gives it
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write the card, with the results so far, to `README.md`. A card that somebody else wrote is kept.

        The arguments are those of [`Trainer.create_model_card`]; the last two, and `tasks`, it takes from the model.
        """
        path = Path(str(self.args.output_dir)) / "README.md"
        if not self.is_world_process_zero() or _is_somebody_elses(path):
            return
        card: Any = ModelCard(self._card())
        given: dict[str, Any] = {
            "language": language,
            "license": license,
            "base_model": finetuned_from,
            "datasets": dataset_tags,
            "model_name": model_name,
            "tags": [*card.data.tags, *([tags] if isinstance(tags, str) else tags or [])],
        }
        for key, value in given.items():
            if value is not None:
                setattr(card.data, key, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(card), encoding="utf-8")

    def _card(self) -> str:
        """The card, with the results so far, as a text that may be replaced."""
        return render_model_card(record_so_far(self.record or describe_trainer(self), self))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push the model of a complete checkpoint, in the background."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        running = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if running and not self.args.hub_always_push:
            logger.info("Step %d is not pushed: the push before has not ended", self.state.global_step)
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        checkpoint = Path(checkpoint_folder)
        if not any(name.endswith(".safetensors") for name in self._model_files):
            logger.warning("%s is not pushed: its weights are in parts that only this run can read", checkpoint)
            return
        readme = checkpoint.parent / "README.md"
        card = readme.read_text("utf-8") if _is_somebody_elses(readme) else self._card()
        try:
            staged = stage_checkpoint(checkpoint, self._model_files, card, self.args.hub_strategy in WHOLE)
        except OSError as error:
            logger.warning("%s is not pushed, found: %s. Training goes on; make room", checkpoint, error)
            return
        stands = f"step {self.state.global_step}"
        if self.args.save_strategy != SaveStrategy.STEPS:
            stands = f"epoch {int(self.state.epoch or 0)}"
        job = run_as_future(self._upload_staged, staged, f"Training in progress, {stands}", checkpoint)
        if running:
            self.push_in_progress.jobs.append(job)
        else:
            jobs: Any = [job]
            self.push_in_progress = PushInProgress(jobs)

    def _upload_staged(self, staged: Path, message: str, checkpoint: Path) -> None:
        """Upload the copy of a checkpoint, and remove it; whatever goes wrong must not end the training."""
        advice = f"Training goes on, and {checkpoint} is complete."
        try:
            self._upload(staged / MODEL, message, advice)
            if self.args.hub_strategy in WHOLE:  # after the model, of which nothing has to be sent again
                place = checkpoint.name if self.args.hub_strategy == HubStrategy.ALL_CHECKPOINTS else "last-checkpoint"
                options = {"path_in_repo": place, "delete_patterns": ["*"]}
                self._upload(staged / CHECKPOINT, f"{message}, checkpoint", advice, **options)
        except Exception as error:
            logger.warning("%s", error)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _upload_copy(self, staged: Path, message: str | None, what_to_do: str, **options: Any) -> Any:
        """Upload the copy of a run's folder, and remove it."""
        try:
            return self._upload(staged, message, what_to_do, **options)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _upload(self, folder: Path, message: str | None, what_to_do: str, **options: Any) -> Any:
        """Make what is in `folder` a commit; the options are those of `upload_folder`. A user's card stays."""
        where: dict[str, Any] = {
            "repo_id": str(self.hub_model_id),
            "revision": options.get("revision") or self.args.hub_revision,
            "token": options.get("token") or self.args.hub_token,
        }

        def upload() -> Any:
            place = options.get("path_in_repo")
            kept = ["README.md"] if place is None and _has_own_card(**where) else []
            return upload_folder(
                **where,
                folder_path=folder,
                commit_message=message,
                path_in_repo=place,
                ignore_patterns=[*options.get("ignore_patterns", ()), *kept],
                delete_patterns=list(options.get("delete_patterns", WEIGHTS)),
            )

        return patiently(upload, what_to_do)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._inner_training_loop`], and then a card for `model.push_to_hub`, unless the user set one."""
        if self.is_world_process_zero():
            self._finish_current_push()
            remove_staged(Path(str(self.args.output_dir)))  # of a run that was killed
        output = super()._inner_training_loop(*args, **kwargs)
        model = self._plain_model()
        if self.is_world_process_zero() and not model.has_own_card:
            model.card = self._card()
        return output

    def _plain_model(self) -> Any:
        """The model itself, out of whatever wraps it, adapters too."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model


def _is_somebody_elses(card: Path) -> bool:
    """Whether there is a card that no run wrote, or that somebody has made his own."""
    return card.is_file() and is_own_text(card.read_text(encoding="utf-8"))


def _has_own_card(repo_id: str, revision: str | None, token: str | None) -> bool:
    """Whether somebody has written a card in the repository."""
    try:
        path = hf_hub_download(repo_id, "README.md", revision=revision, token=token)
    except LocalEntryNotFoundError:  # the Hub has not answered
        raise
    except (EntryNotFoundError, RevisionNotFoundError):
        return False
    return _is_somebody_elses(Path(path))


def _how_to_push(repo: str | None, folder: Path, revision: str | None) -> str:
    """The command that pushes a finished run's folder later."""
    command = ["hf", "upload", str(repo), str(folder), "."]
    command += [word for pattern in KEPT_HERE for word in ("--exclude", pattern)]
    command += [] if revision is None else ["--revision", revision]
    return f"The run is saved in {folder}; push it later: {shlex.join(command)}"
