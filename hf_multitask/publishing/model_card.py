"""A plain record of a run -> the README of its checkpoint."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..tables import format_table
from .report import describe_samples, describe_scores
from .run_record import METRICS, RunRecord


def render_model_card(record: RunRecord, template: Path) -> str:
    """The Markdown text of the card, with the scores as a `model-index` in its YAML header.

    Args:
        record: The finished run.
        template: A Jinja template; it gets `record`, `tables` and, as `card_data`, the header.
    """
    data = ModelCardData(
        model_name=record.name,
        base_model=record.base_model if "/" in record.base_model else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["hf_multitask", "multi-task", "text-classification"],
        eval_results=_eval_results(record),
    )
    card = ModelCard.from_template(
        data, template_str=template.read_text(encoding="utf-8"), record=record, tables=_tables(record)
    )
    return str(card).rstrip() + "\n"


def _eval_results(record: RunRecord) -> list[EvalResult]:
    split = "test" if "test" in record.results else "eval"
    return [
        EvalResult(
            task_type="text-classification",
            task_name=task.name,
            dataset_type=" + ".join(record.sources.values()),
            dataset_name=" + ".join(record.sources),
            # huggingface_hub joins results of one dataset under the first one's task name unless their configs differ
            dataset_config=task.name,
            dataset_split="test" if split == "test" else "validation",
            metric_type=metric,
            metric_name=METRICS[metric],
            metric_value=round(value, 4),
        )
        for task, scores in record.scores(split)
        for metric, value in scores.items()
        if metric in METRICS
    ]


def _tables(record: RunRecord) -> dict[str, str]:
    splits = list(record.label_counts)
    tables = {
        "tasks": format_table(
            ["task", "kind", "labels", "loss weight"],
            [[task.name, task.problem_type, ", ".join(task.labels), f"{task.loss_weight:g}"] for task in record.tasks],
        ),
        "rows": format_table(
            ["label", *splits],
            [
                [f"{task.name}: {label}", *(record.label_counts[split][task.name][label] for split in splits)]
                for task in record.tasks
                for label in task.labels
            ],
        ),
        "groups": format_table(
            ["group", "parameters", "learning rate", "weight decay"],
            [[name, f"{size:,}", f"{rate:.4g}", f"{decay:g}"] for name, size, rate, decay in record.groups],
        ),
        "samples": describe_samples(record.samples),
    }
    return tables | {split: describe_scores(record, split) for split in ("eval", "test") if split in record.results}
