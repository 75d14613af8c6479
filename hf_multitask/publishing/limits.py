"""What a model must not be trusted with, as far as the record of its run tells."""

from collections.abc import Iterable, Iterator

from ..modeling.task import Task
from .result_tables import SPLITS
from .run_record import UNKNOWN, RunRecord
from .wording import listed

FEW_ROWS = 30
"""With fewer training rows than these, a label is named."""

MOST_NAMED = 10
"""Of so many such labels of a task the names are told."""

WIDE = 0.1
"""A 95 % interval that is wider than this leaves open how good a task is."""


def describe_limits(record: RunRecord) -> list[str]:
    """The limits, a sentence or two each, the most general first."""
    return [*_of_texts(record), *_of_labels(record), *_of_scores(record), _not_measured()]


def _of_texts(record: RunRecord) -> Iterator[str]:
    sources = listed(_unique(record.trained_sources.values())) or "texts that this card cannot name"
    scored = ", and scored on texts from there" if record.last_split in record.results else ""
    others = [name for name in record.sources if name not in record.trained_sources and record.sources[name] != UNKNOWN]
    if scored and others:
        scored += f" and from {listed(_unique(record.sources[name] for name in others))}"
    yield (
        f"It was trained on {sources}{scored}. It answers other kinds of text and other languages as confidently; how "
        "well, nothing here tells."
    )
    datasets = {record.dataset_of(name) for name in record.sizes}
    if any(set(names) != datasets for names in record.task_datasets.values()):
        yield (
            "Not every task was trained on every dataset (see [Data](#data)). How well a task does on the texts of the "
            "others was not measured."
        )
    if record.pair_tasks:
        yield f"Trained on pairs of texts alone, and of no meaning for a single text: {listed(record.pair_tasks)}."
    of_pairs = ", of a pair that is read together of both" if record.pair_tasks else ""
    if record.max_length:
        yield f"At most {record.max_length} tokens of a text are read{of_pairs}. The rest is cut off."


def _of_labels(record: RunRecord) -> Iterator[str]:
    choices = [task.name for task in record.tasks if task.is_choice]
    if choices:
        yield "A text that none of a task's labels fits gets one of them all the same."
    if untrained := [task.name for task in record.tasks if _is_untrained(record, task)]:
        yield f"Without a training row in this run: {listed(untrained)}. Their heads are from the earlier model."
    for task in record.tasks:
        if few := [] if task.name in untrained else _rare_labels(record, task):
            named = ", ".join(f"{' '.join(label.split())} ({count:,})" for label, count in few[:MOST_NAMED])
            more = f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
            what = "words" if task.reads_tokens else "rows"
            yield (
                f"Labels of {task.name} with fewer than {FEW_ROWS} training {what}, which it can hardly know: "
                f"{named}{more}."
            )


def _is_untrained(record: RunRecord, task: Task) -> bool:
    """Whether the training rows, if they were all counted, have no target for a task."""
    if set(record.task_datasets.get(task.name, ())) & set(record.streamed):
        return False
    counts = record.label_counts.get("train", {}).get(task.name)
    numbers = record.target_summaries.get("train", {}).get(task.name)
    return bool(record.retention) and not any((counts or {}).values()) and not numbers


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _rare_labels(record: RunRecord, task: Task) -> list[tuple[str, int]]:
    """Labels with few training rows, the rarest first; of streamed rows not all were counted."""
    counts = record.label_counts.get("train", {}).get(task.name, {})
    if set(record.task_datasets.get(task.name, ())) & set(record.streamed):
        return []
    return sorted(((label, count) for label, count in counts.items() if count < FEW_ROWS), key=lambda pair: pair[1])


def _of_scores(record: RunRecord) -> Iterator[str]:
    if "test" in record.results and not record.intervals:
        yield "The test scores have no confidence intervals: small differences mean nothing."
    split = record.last_split
    for task, scores in record.scores(split):
        metric = next(iter(scores))
        low, high = record.intervals.get(f"{task.name}_{metric.name}", (0.0, 0.0))
        if metric.higher_is_better and high - low > WIDE:
            yield (
                f"The {SPLITS[split]} rows of {task.name} are too few to tell more than that its {metric.title} is "
                f"between {low:.4f} and {high:.4f}."
            )
    if "eval" in record.results and "test" not in record.results:
        yield "There is no test split. The validation split, of which all scores are, was looked at during training."
    elif record.chosen_by:
        yield "The validation scores are optimistic: by them the checkpoint was chosen."
    yield from _of_probabilities(record)


def _of_probabilities(record: RunRecord) -> Iterator[str]:
    with_thresholds = [name for name, found in record.calibration.items() if found.get("thresholds")]
    fitted = ["temperatures"] if record.calibrated else []
    fitted += [f"thresholds (of {listed(with_thresholds)})"] if with_thresholds else []
    if fitted:
        what = " and ".join(fitted)
        kind = " of calibration" if record.calibrated else ""
        yield (
            f"{what[0].upper()}{what[1:]} were fitted and measured on the same validation rows: expect somewhat larger "
            f"errors{kind} on new texts."
        )
    worse = [name for name, found in record.calibrated.items() if found["ece_after"] > found["ece_before"]]
    if worse:
        yield (
            f"The temperature of {listed(worse)}, that of the best likelihood, made the calibration error larger, as "
            "happens with few validation rows."
        )
    untold = [name for name in record.calibration if name not in record.calibrated]
    if untold:
        yield (
            f"Not calibrated: the probabilities of {listed(untold)}. The validation rows told no temperature, as where "
            "their answers are all right, all nearly alike, or no better than chance."
        )
    guessed = [
        task.name
        for task in record.tasks
        if task.has_classes and task.temperature == 1 and task.name not in record.calibration
    ]
    if guessed:
        yield f"Not calibrated: the probabilities of {listed(guessed)}."


def _not_measured() -> str:
    return (
        "Not measured: differences between groups of people, and what typos or deliberate tricks do. It is not meant "
        "to decide about people without someone who checks."
    )
