"""A folder that is there as a whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def check_free(folder: Path) -> None:
    """Raise unless `folder` is absent or empty.

    Raises:
        ValueError: It is neither.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "files in" if folder.is_dir() else "the file"
        raise ValueError(f"The folder to export to must be empty or absent, found {found} {folder}. Choose another.")


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when all is written, and vanishes when something fails.

    Raises:
        ValueError: There is something in `folder`, before or after.
        OSError: Nothing can be written beside it.
    """
    folder = folder.resolve()
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())  # as of any new folder; a temporary one is its owner's alone
        check_free(folder)
        if folder.exists():
            folder.rmdir()
        stage.rename(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _umask() -> int:
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe")
        probe.mkdir()
        return 0o777 & ~probe.stat().st_mode
