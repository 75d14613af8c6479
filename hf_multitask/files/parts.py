"""Work on a file in parts that survive being killed, and one file in the end."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

MANIFEST = "manifest.json"
"""Says which command the parts are of."""

JOINED = "joined"
"""Marks that the whole file is written, and needs but its name."""

LOCK = ".lock"


class Parts:
    """The parts of `output`, in the folder `<output>.parts`. Each is complete or absent, and so is `output`.

    Args:
        output: The file in the end.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.parts")

    def path(self, index: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{index:06}{self.output.suffix}"

    def check(self, identity: dict[str, Any]) -> bool:
        """Whether all is done already; else raise unless this command may begin, or go on.

        Args:
            identity: What the command is, of JSON's own types: the same input, model and options give the same output.

        Raises:
            ValueError: There is a file at `output` already, or there are parts of another command.
        """
        if self.output.exists():
            if self._is_left_over():
                return True
            raise ValueError(
                f"The output must not exist yet, found {self.output}. Choose another name, or move the file aside."
            )
        manifest = self.folder / MANIFEST
        if manifest.exists():
            began = json.loads(manifest.read_text(encoding="utf-8"))
            changed = [key for key in identity if began.get(key) != identity[key]]
            if changed:
                told = "; ".join(f"{key} was {began.get(key)!r}, is {identity[key]!r}" for key in changed)
                raise ValueError(
                    f"The parts in {self.folder} must be of the same command, found others: {told}. Start that command "
                    "again to finish it, or remove the folder."
                )
        elif self.folder.exists() and any(path.name[0] != "." for path in self.folder.iterdir()):
            raise ValueError(
                f"The folder {self.folder} must hold parts of the output alone, found other files. Move it aside, or "
                "choose another output."
            )
        return False

    @contextlib.contextmanager
    def claimed(self, identity: dict[str, Any]) -> Iterator[None]:
        """Within it, the parts are this command's.

        Raises:
            ValueError: Another process works on them.
            OSError: Nothing can be written there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"One command at a time must write {self.output}, found another that does. Wait for it, or end it."
            ) from error
        try:
            text = json.dumps(identity, indent=2)
            self.write(self.folder / MANIFEST, lambda file: file.write(text.encode()))
            yield
        finally:
            lock.release()

    def write(self, path: Path, write: Callable[[BinaryIO], Any]) -> None:
        """Write a file that is complete once it has its name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with hidden.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

    def finish(self, join: Callable[[BinaryIO], Any]) -> None:
        """Make the output of the parts, and remove them.

        Raises:
            ValueError: There is a file at `output` by now.
        """
        self.write(self._whole, join)
        (self.folder / JOINED).touch()
        if self.output.exists():
            raise ValueError(
                f"The output must not exist yet, found {self.output}, which was not there before. Move it aside, and "
                "start the command again."
            )
        self._whole.replace(self.output)
        self.clear()

    def clear(self) -> None:
        """Remove the folder of the parts, which are in the output."""
        last = (self.folder / LOCK, self.folder / JOINED)
        for path in self.folder.iterdir():
            if path not in last:
                path.unlink()
        for path in last:
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _is_left_over(self) -> bool:
        """Whether the output got its name, and the folder was yet to be removed."""
        if not self.folder.is_dir() or self._whole.exists():
            return False
        return (self.folder / JOINED).exists() or not any(self.folder.iterdir())

    @property
    def _whole(self) -> Path:
        return self.folder / f"whole{self.output.suffix}"
