"""A plain record of a run -> the README of its checkpoint."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from . import data_tables
from .figures import Illustration
from .result_tables import (
    SPLITS,
    calibration_table,
    class_table,
    describe_scores,
    earlier_table,
    threshold_tables,
)
from .run_record import LOSS, RunRecord
from .samples import describe_samples

TEMPLATE = Path(__file__).with_name("template.md")
"""Of Jinja; it gets `record`, `tables`, `classes`, `curves` and, as `card_data`, the header."""

TASK_TYPES = {"token_classification": "token-classification", "similarity": "sentence-similarity"}
"""Kind of task -> the Hub's word for it; that of all others is text-classification, of regressions too."""


def render_model_card(record: RunRecord, figures: Sequence[Illustration] = ()) -> str:
    """The Markdown text of the card, with the scores as a `model-index` in its YAML header.

    Args:
        record: The finished run.
        figures: The pictures that [`write_figures`] has written beside the card.
    """
    types = list(dict.fromkeys(_task_type(task.problem_type) for task in record.tasks))
    data = ModelCardData(
        model_name=record.name,
        base_model=record.base_model if "/" in record.base_model else None,
        library_name="transformers",
        pipeline_tag=types[0] if len(types) == 1 else "text-classification",
        tags=["hf_multitask", "multi-task", *types],
        eval_results=_eval_results(record),
    )
    card = ModelCard.from_template(
        data,
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        record=record,
        kinds={task.problem_type for task in record.tasks},
        tables={name: html.escape(table, quote=False) for name, table in _tables(record).items()},
        samples=describe_samples(record.samples),
        last_split=SPLITS[record.last_split],
        classes=_classes(record, figures),
        curves=[figure for figure in figures if not figure.task],
    )
    return str(card).rstrip() + "\n"


def _task_type(problem_type: str) -> str:
    return TASK_TYPES.get(problem_type, "text-classification")


def _eval_results(record: RunRecord) -> list[EvalResult]:
    """Each reported metric that is a number, as the Hub's own words tell it."""
    split = record.last_split
    return [
        EvalResult(
            task_type=_task_type(task.problem_type),
            task_name=task.name,
            dataset_type=" + ".join(record.sources.values()),
            dataset_name=" + ".join(record.sources),
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


def _tables(record: RunRecord) -> dict[str, str]:
    tables = {
        "tasks": data_tables.task_table(record),
        "sizes": data_tables.size_table(record),
        "labels": data_tables.label_table(record),
        "numbers": data_tables.number_table(record),
        "mixing": data_tables.mixing_table(record),
        "groups": data_tables.group_table(record),
        "calibration": calibration_table(record) if record.calibration else "",
        "thresholds": threshold_tables(record),
        "earlier": earlier_table(record),
    }
    return tables | {split: describe_scores(record, split) for split in ("eval", "test") if split in record.results}


def _classes(record: RunRecord, figures: Sequence[Illustration]) -> list[dict[str, Any]]:
    """Per task with something to show of its labels, its table (of not too many labels) and its figures."""
    found = []
    for task in record.tasks:
        table = html.escape(class_table(record, task.name), quote=False)
        own = [figure for figure in figures if figure.task == task.name]
        if table or own:
            found.append({"task": task.name, "table": table, "figures": own})
    return found
