"""What a trained model answered and what it cost, and the file where that is kept.

Letters of the shapes: n answers, C outputs of a task.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.answers import Answers, counted, read_answers
from ..modeling.task import Task
from .experiment import Experiment

MOST_CHARACTERS = 60
"""Of the tasks' names in that of a file."""


@dataclass(frozen=True)
class Numbers:
    """What a model cost.

    Args:
        steps: Optimizer steps.
        examples: Rows that these saw, each as often as they did.
        training: Seconds of the steps; `None` where they were not measured.
        answering: Seconds to answer the texts that all models are timed on.
        parameters: Number of its parameters.
        size: Bytes of its weights.
    """

    steps: int
    examples: int
    training: float | None
    answering: float
    parameters: int
    size: int


@dataclass(frozen=True)
class Outcome:
    """What a trained model answered, and what it cost.

    Args:
        numbers: What it cost.
        answered: Per task, its outputs (n, C) float32, the targets (n,) or (n, C), and the rows (n,) of these answers.
    """

    numbers: Numbers
    answered: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]]

    def answers(self, task: Task) -> Answers:
        """What it decided, for a task as it is before calibration."""
        outputs, targets, rows = self.answered[task.name]
        found = read_answers(task, outputs, targets)
        assert found is not None, "only answers with targets are kept"
        return replace(found, rows=rows)


def answers_to(task: Task, logits: Any, labels: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Outputs, targets and rows of what has a target; the arguments are those of [`counted`]."""
    outputs, targets, rows = counted(task, logits, labels)
    numbers = np.unique(rows.numpy(), return_inverse=True)[1].astype(np.int64)
    return outputs.float().numpy(), targets.numpy(), numbers


class Store:
    """A folder with an outcome of each model: its numbers in a json file, its answers in an npz file.

    The json file is written last: an outcome is there once it is.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, experiment: Experiment, fingerprint: str) -> Outcome | None:
        """The outcome of this very model; `None` where there is none that can be read."""
        path = self._path(experiment, fingerprint)
        try:
            told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            # Opened here: of a file that is cut off, numpy would leave it open.
            with path.with_suffix(".npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                answered: dict[str, Any] = {
                    name: tuple(arrays[f"{part}_{place}"] for part in ("outputs", "targets", "rows"))
                    for place, name in enumerate(told["answered"])
                }
            if told["fingerprint"] != fingerprint:
                return None
            return Outcome(Numbers(**told["numbers"]), answered)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None

    def save(self, experiment: Experiment, fingerprint: str, outcome: Outcome) -> None:
        """Write an outcome, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        path = self._path(experiment, fingerprint)
        arrays: dict[str, Any] = {}
        for place, (outputs, targets, rows) in enumerate(outcome.answered.values()):
            arrays |= {f"outputs_{place}": outputs, f"targets_{place}": targets, f"rows_{place}": rows}
        told = {
            "tasks": experiment.tasks,
            "seed": experiment.seed,
            "fingerprint": fingerprint,
            "answered": list(outcome.answered),
            "numbers": asdict(outcome.numbers),
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        part.replace(path.with_suffix(".npz"))
        part.write_text(json.dumps(told, indent=2), encoding="utf-8")
        part.replace(path.with_suffix(".json"))

    def _path(self, experiment: Experiment, fingerprint: str) -> Path:
        """A name that people can read, and no two configurations share."""
        tasks = re.sub(r"\W+", "_", str(experiment), flags=re.ASCII)[:MOST_CHARACTERS]
        return self.folder / f"{tasks}_{experiment.seed}_{fingerprint[:12]}.npz"


def digest(value: Any) -> str:
    """The same for the same plain value."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
