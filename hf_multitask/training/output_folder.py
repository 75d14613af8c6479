"""The folder a run writes to, which never holds two runs and never loses one."""

import logging
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

logger = logging.getLogger(__name__)

LAST_CHECKPOINT = ("True", "true", "last")
"""Values of `resume_from_checkpoint` that mean the last checkpoint in `output_dir`."""

NO_CHECKPOINT = ("False", "false")
"""Values of `resume_from_checkpoint` that mean a new run."""


def claim_output_folder(args: TrainingArguments, overwrite: bool) -> str | None:
    """The checkpoint to continue from, or `None` for a new run, whose `output_dir` is then empty.

    Args:
        args: Names the folder and maybe the checkpoint.
        overwrite: Whether a folder that holds files is moved aside (to `<folder>.previous-<number>`) instead of
            refused.

    Raises:
        ValueError: A new run's folder holds files, or there is no checkpoint to continue from.
    """
    folder = Path(str(args.output_dir)).resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir must be a folder, found the file {folder}. Choose another --output_dir.")
    checkpoint = _checkpoint(folder, args.resume_from_checkpoint)
    continues = checkpoint is not None and checkpoint.resolve().parent == folder.resolve()
    if not continues and folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise ValueError(
                f"The output_dir of a new run must be empty or absent, found files in {folder}. Continue that run with "
                "--resume_from_checkpoint, choose another --output_dir, or move it aside with --overwrite_output_dir."
            )
        if args.process_index == 0:
            moved = _free_name(folder)
            folder.rename(moved)
            logger.warning("The earlier run in %s was moved to %s", folder, moved)
    return None if checkpoint is None else str(checkpoint)


def _checkpoint(folder: Path, wanted: str | None) -> Path | None:
    """The checkpoint that `resume_from_checkpoint` asks for, if any."""
    if not wanted or wanted in NO_CHECKPOINT:
        return None
    if wanted in LAST_CHECKPOINT:
        place, found = str(folder), get_last_checkpoint(str(folder)) if folder.is_dir() else None
    else:
        place = found = wanted
    if found is None or not Path(found).is_dir():
        raise ValueError(
            f"resume_from_checkpoint must name a checkpoint, found none at {place}. Start without it, or correct the "
            "path."
        )
    return Path(found)


def _free_name(folder: Path) -> Path:
    number = 1
    while (name := folder.with_name(f"{folder.name}.previous-{number}")).exists():
        number += 1
    return name
