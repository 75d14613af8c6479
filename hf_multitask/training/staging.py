"""A copy of what is to be uploaded, which the training that goes on meanwhile does not change."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

STAGED = "_push-"
"""Begins the names of such copies in a run's folder; names with a `_` are not uploaded."""

MODEL, CHECKPOINT = "model", "checkpoint"
"""The parts of such a copy of a checkpoint."""

KEPT_HERE = ("_*", "checkpoint-*", "skipped_rows.csv", "transfer", "transfer/*")
"""Patterns of what is not uploaded of a run's folder; the list of rows that were left out quotes the data.

What models that the run is compared with have answered is no part of it either.
"""

LOGS = "runs"
"""TensorBoard's folder, whose curves the Hub shows."""


def stage_checkpoint(checkpoint: Path, files: Iterable[str], card: str, whole: bool) -> Path:
    """A folder of its own, beside the checkpoint, with what is to be uploaded of it: `model/`, and maybe `checkpoint/`.

    Files of a checkpoint are never changed, only removed; so these are links, which need no room, where there can be.
    Who has uploaded the folder removes it.

    Args:
        checkpoint: A complete checkpoint.
        files: Those of its files that are the model.
        card: The text of the model's README.
        whole: Whether all of the checkpoint is wanted too.

    Raises:
        OSError: There is no room. Nothing of the copy is left.
    """
    folder = checkpoint.with_name(f"{STAGED}{checkpoint.name}")
    with _made_whole(folder):
        for name in files:
            _link(checkpoint / name, folder / MODEL / name)
        (folder / MODEL / "README.md").write_text(card, encoding="utf-8")
        if (checkpoint.parent / LOGS).is_dir():
            shutil.copytree(checkpoint.parent / LOGS, folder / MODEL / LOGS)  # copied, because they grow
        if whole:
            for path in checkpoint.rglob("*"):
                if path.is_file():
                    _link(path, folder / CHECKPOINT / path.relative_to(checkpoint))
    return folder


def stage_folder(folder: Path) -> Path:
    """A copy of what is to be uploaded of a run's folder. Who has uploaded it removes it."""
    staged = folder / f"{STAGED}all"
    with _made_whole(staged):
        shutil.copytree(folder, staged, ignore=shutil.ignore_patterns(*KEPT_HERE), dirs_exist_ok=True)
    return staged


def remove_staged(folder: Path) -> None:
    """Remove what pushes that were killed have left in a run's folder."""
    for path in folder.glob(f"{STAGED}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _made_whole(folder: Path) -> Iterator[None]:
    """A new folder, removed again if what is done there fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another kind of file system
        shutil.copy2(source, target)
