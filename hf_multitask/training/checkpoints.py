"""Which checkpoints are complete: those whose list of files, written last, holds."""

import json
import os
import re
import shutil
from pathlib import Path

from transformers.trainer import SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

COMPLETE = "complete.json"
"""The list of a checkpoint's files and their sizes. There is none while the checkpoint is being written."""

GOES_ON = (SCHEDULER_NAME, "latest")
"""One of these is beside weights that a run can go on from: the Trainer's file, or the name of DeepSpeed's folder."""

ASIDE = "_replaced-"
"""Begins the name of a checkpoint that another is written in place of; names with a `_` are not uploaded."""


def mark_complete(checkpoint: Path) -> None:
    """Bring every file of a checkpoint to the disk, then write the list of them, all at once."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    for path in [*files, *{path.parent for path in files}]:
        _to_disk(path)
    content = {"files": {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}}
    draft = checkpoint / f"{COMPLETE}.tmp"
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _to_disk(draft)
    draft.replace(checkpoint / COMPLETE)
    _to_disk(checkpoint)
    _to_disk(checkpoint.parent)


def what_is_missing(checkpoint: Path) -> str | None:
    """What a checkpoint lacks, in words; `None` when it is complete."""
    try:
        files = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return f"no {COMPLETE}"
    except (ValueError, KeyError, TypeError):
        return f"a {COMPLETE} that cannot be read"
    for name, size in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"no {name}"
        if path.stat().st_size != size:
            return f"{path.stat().st_size} of the {size} bytes of {name}"
    return None


def is_cut_off(checkpoint: Path) -> bool:
    """Whether writing it was cut off for certain: the Trainer's own state is the last that it writes.

    Without a list of files all of them may be there, if the checkpoint is older than such lists; and where there is a
    list, someone may have removed or changed files on purpose.
    """
    return checkpoint.is_dir() and not any((checkpoint / name).exists() for name in (COMPLETE, TRAINER_STATE_NAME))


def check_goes_on(checkpoint: Path) -> None:
    """Raise unless a checkpoint has more than weights.

    Raises:
        ValueError: It has not: the optimizer and the learning rate would begin anew, in the middle of a run.
    """
    if not any((checkpoint / name).exists() for name in GOES_ON):
        raise ValueError(
            "A resumed run must have the optimizer and the learning rate of its checkpoint, found neither in "
            f"{checkpoint}, as save_only_model leaves it. Start a new run from its weights (from_checkpoint in "
            "a configuration), or name a checkpoint that has them."
        )


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, complete or not, that of the last step first."""
    found = {
        int(match[1]): path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name)) and path.is_dir()
    }
    return [found[step] for step in sorted(found, reverse=True)]


def last_complete(folder: Path) -> Path | None:
    """The complete checkpoint of the last step in a run's folder, if there is any."""
    return next((path for path in checkpoints_in(folder) if what_is_missing(path) is None), None)


def remove_cut_off(folder: Path) -> None:
    """Remove the checkpoints whose writing was cut off, which nothing can be resumed from."""
    for path in checkpoints_in(folder):
        if is_cut_off(path):
            shutil.rmtree(path)


def set_aside(checkpoint: Path) -> None:
    """Make way for a checkpoint of the same name: what is there is kept beside it, unless it was cut off."""
    if is_cut_off(checkpoint):
        shutil.rmtree(checkpoint)
    elif checkpoint.is_dir():
        shutil.rmtree(_aside(checkpoint), ignore_errors=True)
        checkpoint.rename(_aside(checkpoint))


def put_back(folder: Path) -> None:
    """Put back what was set aside in a run's folder for checkpoints that never became complete."""
    for aside in sorted(folder.glob(f"{ASIDE}{PREFIX_CHECKPOINT_DIR}-*")):
        checkpoint = folder / aside.name.removeprefix(ASIDE)
        if what_is_missing(aside) is None and (not checkpoint.exists() or what_is_missing(checkpoint) is not None):
            restore_aside(checkpoint)


def drop_aside(checkpoint: Path) -> None:
    """Remove what was set aside for a checkpoint that is now complete."""
    shutil.rmtree(_aside(checkpoint), ignore_errors=True)


def restore_aside(checkpoint: Path) -> None:
    """Remove a checkpoint that could not be written, and put back what was set aside for it."""
    shutil.rmtree(checkpoint, ignore_errors=True)
    if _aside(checkpoint).is_dir() and not checkpoint.exists():
        _aside(checkpoint).rename(checkpoint)


def _aside(checkpoint: Path) -> Path:
    """Its name begins otherwise: transformers counts, and removes, whatever begins with `checkpoint-`."""
    return checkpoint.with_name(f"{ASIDE}{checkpoint.name}")


def _to_disk(path: Path) -> None:
    """Have the operating system write a file, or a folder's list of names, now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
