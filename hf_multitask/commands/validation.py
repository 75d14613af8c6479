"""The labelled rows that a trained model is held against."""

from collections.abc import Sequence
from typing import Any

from datasets import concatenate_datasets

from ..data.collation import MultiTaskCollator
from ..modeling.modeling_multitask import MultiTaskModel
from ..settings.command_line import parse_command_line
from ..training.argument_parser import argument_names
from .scored_data import scored_data

BATCH_SIZE = 32


def validation_batches(checkpoint: str, words: Sequence[str], model: MultiTaskModel) -> list[dict[str, Any]]:
    """The validation rows that a configuration describes, in batches with labels for the model's tasks.

    Args:
        checkpoint: The folder of the model, or its id on the Hub.
        words: The path of the configuration of a run, then flags as `train` takes them.
        model: Knows its tasks and its tokenizer, whose `model_max_length` is what is read of a text, in tokens.

    Raises:
        ValueError: Something in the configuration or the data cannot be, there are no validation rows, they
            are cut otherwise than in the model's run, or a task is not the model's.
    """
    settings = parse_command_line(words, None, argument_names(), checkpoint)
    data = scored_data(checkpoint, settings, model.config.tasks, "validation")
    tokenizer = model.tokenizer
    splits = data.tokenized(tokenizer, tokenizer.model_max_length, ["validation"])
    rows = concatenate_datasets(list(splits["validation"].values()))
    collate = MultiTaskCollator(tokenizer, model.config.tasks)
    order = rows.with_format("numpy")["length"][:].argsort()  # texts of similar length together: little padding
    return [
        collate(rows.select(order[start : start + BATCH_SIZE]).to_list()) for start in range(0, len(order), BATCH_SIZE)
    ]
