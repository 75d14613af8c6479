"""The labelled rows that a trained model is held against."""

from pathlib import Path
from typing import Any

from ..data.collation import MultiTaskCollator
from ..data.mixing import mix
from ..modeling.modeling_multitask import MultiTaskModel
from ..settings.run_settings import RunSettings
from ..settings.yaml_file import read_yaml
from .scored_data import scored_data

BATCH_SIZE = 32


def validation_batches(path: Path, model: MultiTaskModel) -> list[dict[str, Any]]:
    """The validation rows that a configuration file describes, in batches with labels for the model's tasks.

    Args:
        path: Of the configuration of a run.
        model: Knows its tasks and its tokenizer, whose `model_max_length` is what is read of a text, in tokens.

    Raises:
        ValueError: Something in the configuration or the data cannot be, there are no validation rows, or a task is
            not the model's.
    """
    settings = RunSettings.from_dict(read_yaml(path), folder=path.resolve().parent)
    data = scored_data(settings, model.config.tasks, "validation")
    tokenizer = model.tokenizer
    rows = mix(list(data.tokenized(tokenizer, tokenizer.model_max_length)["validation"].values()))
    collate = MultiTaskCollator(tokenizer, model.config.tasks)
    order = rows.with_format("numpy")["length"][:].argsort()  # texts of similar length together: little padding
    return [
        collate(rows.select(order[start : start + BATCH_SIZE]).to_list()) for start in range(0, len(order), BATCH_SIZE)
    ]
