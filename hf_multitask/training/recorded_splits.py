"""What a run's `trainer_state.json`, and that of each of its checkpoints, tells of its splits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils.hub import cached_file


class RecordedSplits(TrainerCallback):
    """Puts a record of the splits among the states of callbacks, which the Trainer writes wherever it writes its own.

    Args:
        record: Plain values; see [`split_record`].
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Here, so that a run which goes on from a checkpoint without a record has one from now on."""
        states: Any = state.stateful_callbacks
        states[type(self).__name__] = {"args": {"record": self.record}, "attributes": {}}


def recorded_splits(name_or_path: str) -> Any:
    """The record of a checkpoint's run, `None` where there is none.

    Args:
        name_or_path: A local folder or an id on the Hub.

    Raises:
        ValueError: The file that holds it is no JSON.
    """
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("gated_repo", "missing_entries", "connection_errors")}
    path = cached_file(name_or_path, TRAINER_STATE_NAME, **quiet)
    if path is None:
        return None
    states = json.loads(Path(path).read_text(encoding="utf-8")).get("stateful_callbacks") or {}
    return states.get(RecordedSplits.__name__, {}).get("args", {}).get("record")
