"""Embed the texts of a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..answer_columns import EMBEDDING, answer_present
from ..modeling.embedding import prompt_of
from ..modeling.texts import Words
from ..opening import fingerprint, open_pipeline, read_config
from .bulk import Answer, Bulk, answer_file
from .parsing import add_file_words, at_least_one, command_parser

DESCRIPTION = """\
Writes the rows of a file with the sentence embedding of their text beside them, in the column `embedding`: a list of
numbers, which is JSON in csv files. A row without a text has none. Where the model labels words, a text may be a list
of them, as predict reads it.

The same command goes on where it was stopped. `accelerate launch -m hf_multitask embed ...` uses several processes.
"""


def main(words: Sequence[str]) -> None:
    """Do what the words of the command line say.

    Raises:
        ValueError: Something in the input cannot be, or the output is there already.
        OSError: Something cannot be read or written.
    """
    parser = command_parser("embed", DESCRIPTION)
    add_file_words(parser)
    parser.add_argument("--normalize", action="store_true", default=None, help="scale embeddings to length 1")
    parser.add_argument("--truncate_dim", type=at_least_one, metavar="K", help="keep the first K numbers")
    parser.add_argument("--prompt_name", metavar="P", help="the checkpoint's prompt to put before each text")
    told = parser.parse_args(words)
    config = read_config(told.checkpoint)
    prompt_of(config, told.prompt_name)
    if told.truncate_dim is not None and told.truncate_dim > config.hidden_size:
        raise ValueError(
            f"truncate_dim must be at most {config.hidden_size}, the size of the embeddings, found "
            f"{told.truncate_dim}. Lower it, or leave it out."
        )
    options = {key: getattr(told, key) for key in ("normalize", "truncate_dim", "prompt_name", "performance")}

    def open_(device: Any) -> Answer:
        model: Any = open_pipeline(told.checkpoint, device).model

        def embed(texts: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
            def encode(present: Sequence[tuple[str | list[str]]]) -> Any:
                found = [Words(text) if isinstance(text, list) else text for (text,) in present]
                return model.encode(found, batch_size=told.batch_size, **options)

            return {EMBEDDING: answer_present(texts, encode)}

        return embed

    identity = {"command": "embed", "model": fingerprint(told.checkpoint, config), **options}
    types = {EMBEDDING: pa.list_(pa.float32())}
    files = (Path(told.input), Path(told.output))
    with_words = any(task.reads_tokens for task in config.tasks)
    answer_file(Bulk(*files, [told.text], told.batch_size, types, identity, open_, with_words))
