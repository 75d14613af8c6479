"""Explain a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from ..modeling.configuration_multitask import MultiTaskConfig
from ..opening import read_config
from ..publishing.checkpoint_report import (
    card_scores,
    describe_encoder,
    describe_training,
    describe_ways,
    results_of,
    task_table,
)
from ..publishing.result_tables import describe_scores
from ..publishing.weights import weight_table, weights_of_folder, weights_on_hub
from .description import scored_record
from .parsing import command_parser

DESCRIPTION = """\
Explains a checkpoint: its encoder, its tasks, how large it is, its scores, how it was trained, and in which ways it
opens. Nothing of it is run, and none of its weights are loaded.
"""

SMALL_FILES = ("*.json", "README.md")


def main(words: Sequence[str]) -> None:
    """Do what the words of the command line say.

    Raises:
        ValueError: It is no checkpoint of a multi-task model.
        OSError: There is none, or it cannot be read.
    """
    name = command_parser("info", DESCRIPTION).parse_args(words).checkpoint
    config = read_config(name)
    if Path(name).is_dir():
        folder, weights = Path(name), weights_of_folder(Path(name))
        files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))]
    else:
        folder, weights = Path(snapshot_download(name, allow_patterns=list(SMALL_FILES))), weights_on_hub(name)
        files = HfApi().list_repo_files(name)
    parts = [
        describe_encoder(config, folder),
        "No weights (model.safetensors) are there" if weights is None else weight_table(weights),
        task_table(config.tasks),
        _scores(config, folder),
        describe_training(folder),
        f"It opens as\n{describe_ways(config, files, name)}",
    ]
    print("\n\n".join(part for part in parts if part))


def _scores(config: MultiTaskConfig, folder: Path) -> str:
    """The tables of the run's results where they lie beside it, else the scores of the card."""
    results = results_of(folder)
    if not results:
        return card_scores(folder)
    record = scored_record(config, results)
    return "\n\n".join(describe_scores(record, split) for split in results)
