"""Answer every task for the texts of a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..opening import fingerprint, read_config
from ..scoring import MultiTaskScorer
from .bulk import Answer, Bulk, answer_file
from .parsing import add_file_words, at_least_one, command_parser, text_columns

DESCRIPTION = """\
Answers every task of a checkpoint for the texts of a file, and writes its rows with the answers beside them.

<task>_label and <task>_score are the answer and its probability, lists of both where a text may have any number of
labels or --top_k is not 1; <task>_entities are a list of those found. In csv files lists are JSON. A row without a text
has no answers.

Where the model labels words, a text may be a list of its words, in csv files as JSON, as in the data it was trained on.
They are then its words, and start and end of entities count in them as joined by one space each.

The same command goes on where it was stopped. `accelerate launch -m hf_multitask predict ...` uses several processes.
"""


def main(words: Sequence[str]) -> None:
    """Do what the words of the command line say.

    Raises:
        ValueError: Something in the input cannot be, or the output is there already.
        OSError: Something cannot be read or written.
    """
    parser = command_parser("predict", DESCRIPTION)
    add_file_words(parser)
    parser.add_argument("--text_pair", metavar="COLUMN", help="column with the second text of each pair")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="the tasks to answer (all)")
    parser.add_argument("--top_k", type=_top_k, default=1, help="how many labels to tell: a number, or all (1)")
    told = parser.parse_args(words)
    options: dict[str, Any] = {"tasks": told.tasks, "top_k": told.top_k, "performance": told.performance}
    scorer = MultiTaskScorer(told.checkpoint, told.text, told.text_pair, batch_size=told.batch_size, **options)

    def open_(device: Any) -> Answer:
        scorer.device = device
        scorer.answer([])  # which loads the model
        return scorer.answer

    config = read_config(told.checkpoint)
    model = fingerprint(told.checkpoint, config)
    with_words = any(task.reads_tokens for task in config.tasks)
    identity = {"command": "predict", "model": model, **options}
    files = (Path(told.input), Path(told.output))
    answer_file(Bulk(*files, text_columns(told), told.batch_size, scorer.column_types(), identity, open_, with_words))


def _top_k(word: str) -> int | None:
    return None if word == "all" else at_least_one(word)
