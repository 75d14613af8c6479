"""The head of a card: what the Hub reads of it."""

import math
import re

from huggingface_hub import EvalResult, ModelCardData

from ..modeling.task import Task, hub_type, pipeline_tag
from .result_tables import SPLITS
from .run_record import LOSS, RunRecord

EMBEDS = ("sentence-transformers", "sentence-similarity")
"""Tags by which the Hub's users find what gives sentence embeddings, and by which it shows how to load it."""


def card_metadata(record: RunRecord) -> ModelCardData:
    """The header, with the scores of the last split as a `model-index`.

    The library is Transformers, whose `AutoModel` opens the folder; the Hub shows further ones by their tags.
    """
    scores = _eval_results(record)
    types = dict.fromkeys(map(hub_type, record.tasks))
    return ModelCardData(
        model_name=record.name if scores else None,
        base_model=record.base_model if record.on_hub else None,
        license=record.license,
        language=list(record.languages) or None,
        datasets=[source for name, source in record.trained_sources.items() if name in record.hub_datasets] or None,
        library_name="peft" if record.adapters else "transformers",
        pipeline_tag=pipeline_tag(record.tasks),
        tags=["hf_multitask", "multi-task", *types, *(["lora"] if record.adapters else EMBEDS)],
        eval_results=scores or None,
    )


def _eval_results(record: RunRecord) -> list[EvalResult]:
    """Each reported metric that is a number, as the Hub's own words tell it."""
    split = record.last_split
    return [
        EvalResult(
            task_type=hub_type(task),
            task_name=task.name,
            dataset_type=_dataset_type(record, task),
            dataset_name=" + ".join(_datasets(record, task)),
            # huggingface_hub joins results of one dataset under the first one's task name unless their configs differ
            dataset_config=task.name,
            dataset_split=SPLITS[split],
            metric_type=metric.name,
            metric_name=metric.title,
            metric_value=round(value, 4),
        )
        for task, scores in record.scores(split)
        for metric, value in scores.items()
        if metric != LOSS and math.isfinite(value)
    ]


def _datasets(record: RunRecord, task: Task) -> list[str]:
    return list(record.task_datasets.get(task.name, record.sources))


def _dataset_type(record: RunRecord, task: Task) -> str:
    """The Hub id of the task's one dataset, or a name that the Hub takes for none: it refuses any with a space."""
    names = _datasets(record, task)
    if len(names) == 1 and names[0] in record.hub_datasets:
        return record.sources[names[0]]
    joined = "_".join(record.sources[name] for name in names)
    return re.sub(r"[^\w.-]+", "_", joined, flags=re.ASCII).strip("_") or "data"
