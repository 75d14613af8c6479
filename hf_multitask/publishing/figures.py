"""All pictures and files of a run: of its labels, its curves, how far its tasks agree, and what sharing did."""

import re
from pathlib import Path
from typing import NamedTuple

from .agreement import agreements, agreements_by_depth
from .agreement_figures import draw_agreement, draw_agreement_by_depth, draw_cosines
from .agreement_tables import agreement_rows, cosine_rows
from .canvas import MOST_NAMES
from .class_figure import draw_classes
from .confusion_figure import draw_confusion
from .csv_files import (
    write_classes_csv,
    write_confusion_csv,
    write_pairs_csv,
    write_rows_csv,
    write_transfer_csv,
)
from .curves import draw_learning_rates, draw_losses, draw_metrics
from .result_tables import SPLITS
from .run_record import RunRecord
from .transfer_figure import draw_pairs, draw_transfer
from .transfer_record import TransferRecord

FOLDER = "figures"
"""Where in a run's folder they are."""


class Illustration(NamedTuple):
    """A picture of a run.

    Args:
        title: What it shows.
        image: Its PNG file, relative to the run's folder, with `/`.
        task: The task that it is of; empty if it is of the run.
        table: The csv file with what it shows, in the same way; empty if there is none.
        tells_classes: Whether it shows the scores of each label.
        tells_agreement: Whether it shows how far the tasks agree.
        tells_transfer: Whether it shows what sharing the encoder did.
    """

    title: str
    image: str
    task: str = ""
    table: str = ""
    tells_classes: bool = False
    tells_agreement: bool = False
    tells_transfer: bool = False


def write_figures(record: RunRecord, folder: Path) -> list[Illustration]:
    """The pictures that the record has something for, written to `figures/` in the run's `folder`."""
    drawn = []
    split = SPLITS[record.last_split]
    for name, slug in _slugs([task.name for task in record.tasks]).items():
        if counts := record.confusion.get(name):
            labels = next(task.labels for task in record.tasks if task.name == name)
            total = sum(map(sum, counts))
            found = Illustration(
                f"{name}: right and given labels of {total:,} answers, {split} split", *_paths("confusion", slug, name)
            )
            draw_confusion(labels, counts, found.title, folder / found.image)
            write_confusion_csv(labels, counts, folder / found.table)
            drawn.append(found)
        if classes := record.per_class.get(name):
            what = "F1 and support by label" if len(classes) <= MOST_NAMES else f"F1 of {len(classes):,} labels"
            title = f"{name}: {what}, {split} split"
            found = Illustration(title, *_paths("classes", slug, name), tells_classes=True)
            draw_classes(classes, found.title, folder / found.image)
            write_classes_csv(classes, folder / found.table)
            drawn.append(found)
    if record.transfer is not None:
        drawn += write_transfer_figures(record.transfer, folder)
    log = record.log_history
    primary = {name: metrics[0] for name, metrics in record.metrics.items() if metrics}
    images = {key: f"{FOLDER}/{key}.png" for key in ("losses", "metrics", "learning_rates")}
    if draw_losses(log, [task.name for task in record.tasks], folder / images["losses"]):
        drawn.append(Illustration("Loss by optimiser step", images["losses"]))
    if draw_metrics(log, primary, folder / images["metrics"]):
        drawn.append(Illustration("Primary metrics on the validation split, by optimiser step", images["metrics"]))
    if draw_learning_rates(log, folder / images["learning_rates"]):
        drawn.append(Illustration("Learning rates by optimiser step", images["learning_rates"]))
    return drawn + _of_agreement(record, folder)


def _of_agreement(record: RunRecord, folder: Path) -> list[Illustration]:
    pairs, groups = agreements(record), agreements_by_depth(record)
    drawn = []
    if pairs:
        found = _agreement_illustration("conflicts", "Mean cosine of the tasks' gradients")
        draw_agreement(pairs, [task.name for task in record.tasks], found.title, folder / found.image)
        write_rows_csv(agreement_rows(pairs), folder / found.table)
        drawn.append(found)
        found = _agreement_illustration("conflict_curves", "Cosine of the tasks' gradients by optimiser step")
        draw_cosines(pairs, found.title, folder / found.image)
        write_rows_csv(cosine_rows(pairs), folder / found.table)
        drawn.append(found)
    if groups:
        found = _agreement_illustration("conflict_depths", "Mean cosine of the tasks' gradients by depth")
        draw_agreement_by_depth(groups, found.title, folder / found.image)
        write_rows_csv(agreement_rows([pair for pairs in groups.values() for pair in pairs]), folder / found.table)
        drawn.append(found)
    return drawn


def _agreement_illustration(name: str, title: str) -> Illustration:
    return Illustration(title, f"{FOLDER}/{name}.png", "", f"{FOLDER}/{name}.csv", tells_agreement=True)


def write_transfer_figures(transfer: TransferRecord, folder: Path) -> list[Illustration]:
    """The pictures of a comparison alone; see [`write_figures`]."""
    title = f"Multi-task minus single-task, primary metrics, {transfer.split} split"
    images = {name: (f"{FOLDER}/{name}.png", "", f"{FOLDER}/{name}.csv") for name in ("transfer", "transfer_pairs")}
    found = Illustration(title, *images["transfer"], tells_transfer=True)
    draw_transfer(transfer, found.title, folder / found.image)
    write_transfer_csv(transfer, folder / found.table)
    drawn = [found]
    if any(task.beside for task in transfer.tasks):
        title = f"A task trained beside another minus alone, primary metrics, {transfer.split} split"
        found = Illustration(title, *images["transfer_pairs"], tells_transfer=True)
        draw_pairs(transfer, found.title, folder / found.image)
        write_pairs_csv(transfer, folder / found.table)
        drawn.append(found)
    return drawn


def _paths(kind: str, slug: str, task: str) -> tuple[str, str, str]:
    return f"{FOLDER}/{kind}_{slug}.png", task, f"{FOLDER}/{kind}_{slug}.csv"


def _slugs(names: list[str]) -> dict[str, str]:
    """Per task, what its files are called: letters, digits and underscores, and no two alike on any file system."""
    slugs: dict[str, str] = {}
    for place, name in enumerate(names, start=1):
        slug = re.sub(r"\W+", "_", name, flags=re.ASCII)
        taken = {other.lower() for other in slugs.values()}
        slugs[name] = f"{slug}_{place}" if slug.lower() in taken else slug
    return slugs
