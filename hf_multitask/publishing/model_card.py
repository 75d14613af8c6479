"""A plain record of a run -> the README of its checkpoint."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard

from ..modeling.hub import MARK
from . import data_tables
from .advice import advise
from .agreement_tables import CAVEAT, agreement_table
from .card_metadata import card_metadata
from .headline import headline_table
from .limits import describe_limits
from .result_tables import (
    SPLITS,
    calibration_table,
    class_table,
    describe_scores,
    earlier_table,
    threshold_tables,
)
from .run_record import RunRecord
from .samples import describe_samples
from .setup import describe_setup
from .transfer_tables import cost_table, pair_table, transfer_sentences, transfer_table, verdicts

if TYPE_CHECKING:
    from .figures import Illustration  # with it matplotlib, which a card needs not wait for

TEMPLATE = Path(__file__).with_name("template.md")
"""Of Jinja; `render_model_card` says with what."""

MOST_TASKS = 20
"""With more, what the card tells of each task by itself is folded."""


def render_model_card(record: RunRecord, figures: "Sequence[Illustration]" = ()) -> str:
    """The Markdown text of the card, with the scores as a `model-index` in its YAML header.

    Args:
        record: The run, finished or not.
        figures: The pictures that [`write_figures`] has written beside the card.
    """
    figures = [figure._replace(title=_as_text(figure.title)) for figure in figures]
    card = ModelCard.from_template(
        card_metadata(record),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        record=record,
        base_model=_link(record.base_model, "" if record.on_hub else None),
        trained_on=", ".join(
            dict.fromkeys(
                _link(source, "datasets/" if name in record.hub_datasets else None)
                for name, source in record.trained_sources.items()
            )
        ),
        learnt=sum(size for _, size, _, _ in record.groups),
        kinds={task.problem_type for task in record.tasks},
        example=_example(record),
        tables=_escaped(_tables(record)),
        all_labels=_escaped(data_tables.full_label_tables(record)),
        samples=describe_samples(record.samples, record.tasks),
        is_scored=record.last_split in record.results,
        last_split=SPLITS[record.last_split],
        classes=_classes(record, figures),
        has_many=len(record.tasks) > MOST_TASKS,
        limits=_escaped_lines(describe_limits(record)),
        agreement_figures=[figure for figure in figures if figure.tells_agreement],
        agreement_caveat=CAVEAT,
        advice=_escaped_lines(advise(record)),
        transfer_figures=[figure for figure in figures if figure.tells_transfer],
        verdicts=[] if record.transfer is None else _escaped_lines(verdicts(record.transfer)),
        transfer_sentences=[] if record.transfer is None else _escaped_lines(transfer_sentences(record.transfer)),
        curves=[f for f in figures if not (f.task or f.tells_agreement or f.tells_transfer)],
        setup=describe_setup(record),
    )
    return re.sub(r"\n{3,}", "\n\n", str(card)).rstrip() + f"\n\n{MARK}\n"


def _link(name: str, hub_folder: str | None) -> str:
    """The name, as a link where it is on the Hub."""
    return name if hub_folder is None else f"[{name}](https://huggingface.co/{hub_folder}{name})"


def _example(record: RunRecord) -> str:
    """What to call the model with, in Python: a pair where no task was trained on single texts."""
    if all(task.name in record.pair_tasks for task in record.tasks):
        return '{"text": "A sentence to read.", "text_pair": "Another sentence."}'
    return '"A sentence to read."'


def _tables(record: RunRecord) -> dict[str, str]:
    tables = {
        "headline": headline_table(record),
        "tasks": data_tables.task_table(record),
        "sizes": data_tables.size_table(record, links=True) if record.sizes else "",
        "labels": data_tables.label_table(record),
        "numbers": data_tables.number_table(record),
        "mixing": data_tables.mixing_table(record),
        "groups": data_tables.group_table(record) if record.groups else "",
        "calibration": calibration_table(record),
        "thresholds": threshold_tables(record),
        "earlier": earlier_table(record),
        "agreement": agreement_table(record),
    }
    if record.transfer is not None:
        tables["transfer"] = transfer_table(record.transfer)
        tables["pairs"] = pair_table(record.transfer)
        tables["costs"] = cost_table(record.transfer)
    return tables | {split: describe_scores(record, split) for split in ("eval", "test") if split in record.results}


def _escaped(tables: dict[str, str]) -> dict[str, str]:
    return {html.escape(name, quote=False): html.escape(table, quote=False) for name, table in tables.items()}


def _as_text(name: str) -> str:
    """A name so that Markdown takes none of its characters for more than themselves."""
    return re.sub(r"([\\`*\[\]<>])", r"\\\1", name)


def _escaped_lines(lines: Sequence[str]) -> list[str]:
    return [html.escape(line, quote=False) for line in lines]


def _classes(record: RunRecord, figures: "Sequence[Illustration]") -> list[dict[str, Any]]:
    """Per task with something to show of its labels, its table and what of its figures the table does not tell."""
    found = []
    for task in record.tasks:
        table = html.escape(class_table(record, task.name), quote=False)
        own = [figure for figure in figures if figure.task == task.name]
        shown = [figure for figure in own if not (table and figure.tells_classes)]
        if table or own:
            files = [figure.table for figure in own]
            name = html.escape(task.name, quote=False)
            found.append({"task": _as_text(task.name), "name": name, "table": table, "figures": shown, "files": files})
    return found
