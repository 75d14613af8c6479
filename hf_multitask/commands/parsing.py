"""The words that commands have in common."""

import argparse
from typing import Any

from ..modeling.performance import PERFORMANCE


def command_parser(name: str, description: str, **options: Any) -> argparse.ArgumentParser:
    """What reads the words of a command, of which a checkpoint is the first.

    Args:
        name: Of the command.
        description: What it does; printed as it stands.
        **options: Passed to `ArgumentParser`.
    """
    shown_as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        f"hf_multitask {name}", description=description, formatter_class=shown_as_it_is, **options
    )
    parser.add_argument("checkpoint", metavar="DIR", help="folder of the checkpoint, or its id on the Hub")
    return parser


def add_file_words(parser: argparse.ArgumentParser) -> None:
    """Add input, output, --text, --batch_size and --performance."""
    parser.add_argument("input", metavar="INPUT", help="csv, tsv or jsonl (.gz and the like too) or parquet")
    parser.add_argument("output", metavar="OUTPUT", help="csv, jsonl or parquet; must not exist yet")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="column with the texts (text)")
    parser.add_argument(
        "--batch_size", type=at_least_one, default=32, metavar="N", help="texts of a batch (default: 32)"
    )
    parser.add_argument(
        "--performance",
        choices=PERFORMANCE,
        default="exact",
        help="auto rounds to bfloat16 where the processor has it (exact)",
    )


def text_columns(told: argparse.Namespace) -> list[str]:
    """The one or two columns with texts."""
    return [told.text] if told.text_pair is None else [told.text, told.text_pair]


def at_least_one(word: str) -> int:
    """The whole number, at least 1, that a word is."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number and at least 1, found {word}")
    return int(word)
