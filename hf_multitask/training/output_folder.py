"""The folder a run writes to, which never holds two runs and never loses one."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .checkpoints import ASIDE, COMPLETE, checkpoints_in, is_cut_off, last_complete, put_back, what_is_missing
from .staging import STAGED

logger = logging.getLogger(__name__)

LAST_CHECKPOINT = ("True", "true", "last")
"""Values of `resume_from_checkpoint` that mean the last complete checkpoint in `output_dir`."""

NO_CHECKPOINT = ("False", "false")
"""Values of `resume_from_checkpoint` that mean a new run."""

AUTO = "auto"
"""The value of `resume_from_checkpoint` that means the last complete checkpoint if there is one, else a new run."""

FAILED_WRITE = ("(os error ", "PytorchStreamWriter", "inline_container")
"""Parts of the messages by which the libraries that write in Rust and C++ report a failure to write."""


def claim_output_folder(args: TrainingArguments, overwrite: bool) -> str | None:
    """The checkpoint to continue from, or `None` for a new run, whose `output_dir` is then empty.

    Args:
        args: Names the folder and maybe the checkpoint.
        overwrite: Whether a folder that holds files is moved aside (to `<folder>.previous-<number>`) instead of
            refused. With `auto` it is where all that it holds is what a run leaves that was killed before its first
            complete checkpoint.

    Raises:
        ValueError: A new run's folder holds files, or there is no complete checkpoint to continue from.
        OSError: Nothing can be written to the folder.
    """
    folder = Path(str(args.output_dir)).resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir must be a folder, found the file {folder}. Choose another --output_dir.")
    wanted, first = args.resume_from_checkpoint, args.process_index == 0
    if wanted and first:
        put_back(folder)
    checkpoint = _checkpoint(folder, wanted, first)
    continues = checkpoint is not None and checkpoint.resolve().parent == folder.resolve()
    if not continues and folder.is_dir() and any(folder.iterdir()):
        if not overwrite and not (wanted == AUTO and _was_only_begun(folder)):
            raise ValueError(
                f"The output_dir of a new run must be empty or absent, found files in {folder}. Continue that run with "
                "--resume_from_checkpoint, choose another --output_dir, or move it aside with --overwrite_output_dir."
            )
        if first:
            moved = _free_name(folder)
            folder.rename(moved)
            logger.warning("The earlier run in %s was moved to %s", folder, moved)
    if first:
        _check_writable(folder)
    return None if checkpoint is None else str(checkpoint)


def last_checkpoint(args: TrainingArguments) -> str:
    """The last complete checkpoint in `output_dir`. Later ones, whose writing was cut off, are warned about.

    Raises:
        ValueError: There is none.
    """
    folder, first = Path(str(args.output_dir)), args.process_index == 0
    with args.main_process_first(desc="looking for the last checkpoint"):
        if first:
            put_back(folder)
        checkpoint = _last(folder, first)
    if checkpoint is None:
        raise _none_complete(folder)
    return str(checkpoint)


@contextlib.contextmanager
def write_errors_explained(target: Path) -> Iterator[None]:
    """Whatever a library raises when it cannot write `target`, a part of a run's folder, is one clear `OSError`.

    Raises:
        OSError: Says what failed, which checkpoint is the last complete one, and what to do.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not any(part in str(error) for part in FAILED_WRITE):
            raise
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error).splitlines()[0]
        last = last_complete(target.parent)
        go_on = f"continue from {last} with --resume_from_checkpoint" if last else "start anew: none is complete"
        raise OSError(
            f"{target} must be written whole, found: {reason}. Make room, or make the folder writable, and {go_on}."
        ) from error


def _checkpoint(folder: Path, wanted: str | None, speaks: bool) -> Path | None:
    """The checkpoint that `resume_from_checkpoint` asks for, if any."""
    if not wanted or wanted in NO_CHECKPOINT:
        return None
    if wanted != AUTO and wanted not in LAST_CHECKPOINT:
        return _named(Path(wanted))
    checkpoint = _last(folder, speaks)
    if checkpoint is None and wanted != AUTO:
        raise _none_complete(folder)
    return checkpoint


def _last(folder: Path, speaks: bool) -> Path | None:
    """The last complete checkpoint, if any; later ones that are not are warned about."""
    for checkpoint in checkpoints_in(folder):
        missing = what_is_missing(checkpoint)
        if missing is None:
            return checkpoint
        if speaks:
            logger.warning("Skipped the incomplete checkpoint %s: it has %s.%s", checkpoint, missing, _told(checkpoint))
    return None


def _none_complete(folder: Path) -> ValueError:
    return ValueError(
        f"resume_from_checkpoint must name a checkpoint, found none at {folder} that is complete. Start without it, or "
        "correct the path."
    )


def _was_only_begun(folder: Path) -> bool:
    """Whether a folder holds nothing but what a run writes before its first checkpoint is complete."""
    begun = (f"{PREFIX_CHECKPOINT_DIR}-", f"{ASIDE}{PREFIX_CHECKPOINT_DIR}-", STAGED, "skipped_rows.csv", "runs")
    return all(path.name.startswith(begun) for path in folder.iterdir())


def _named(checkpoint: Path) -> Path:
    """The checkpoint that is named, if it is one."""
    if not checkpoint.is_dir():
        raise ValueError(
            f"resume_from_checkpoint must name a checkpoint, found none at {checkpoint}. Start without it, or correct "
            "the path."
        )
    if missing := what_is_missing(checkpoint):
        raise ValueError(
            f"resume_from_checkpoint must name a complete checkpoint, found {missing} in {checkpoint}. Name another, "
            f"or 'last' for the last complete one.{_told(checkpoint)}"
        )
    return checkpoint


def _told(checkpoint: Path) -> str:
    """How to use a checkpoint from before there were lists of files, if it can be one."""
    if is_cut_off(checkpoint) or (checkpoint / COMPLETE).exists():
        return ""
    code = "from pathlib import Path; from hf_multitask.training.checkpoints import mark_complete; "
    code += f"mark_complete(Path({str(checkpoint)!r}))"
    return f' If an earlier version wrote it and it is whole, say so once: python -c "{code}"'


def _check_writable(folder: Path) -> None:
    """Write something, here and not hours later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"output_dir must be writable, found {error.strerror} at {folder}. Choose another --output_dir, or make "
            "room or give permission there."
        ) from error


def _free_name(folder: Path) -> Path:
    number = 1
    while (name := folder.with_name(f"{folder.name}.previous-{number}")).exists():
        number += 1
    return name
