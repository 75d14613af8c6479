"""What a run says on the terminal before and after training."""

from collections.abc import Mapping, Sequence

from ..tables import format_table
from .run_record import METRICS, RunRecord


def describe_data(record: RunRecord) -> str:
    """The tasks with their labels, and the rows per dataset, split, task and label."""
    splits = list(record.label_counts)
    size_rows = [
        [name, *(sizes.get(split, 0) for split in splits), record.sources[name]] for name, sizes in record.sizes.items()
    ]
    label_rows = [
        [f"{task.name}: {label}", *(record.label_counts[split][task.name][label] for split in splits)]
        for task in record.tasks
        for label in task.labels
    ]
    return "\n\n".join(
        [
            f"{len(record.tasks)} tasks on one {record.base_model}, pooled by {record.pooling}",
            format_table(["rows of", *splits, "from"], size_rows),
            format_table(["rows labelled", *splits], label_rows),
        ]
    )


def describe_scores(record: RunRecord, split: str) -> str:
    """A table of each task's scores on `split`."""
    rows = [
        [task.name, *(scores.get(key, float("nan")) for key in (*METRICS, "loss"))]
        for task, scores in record.scores(split)
    ]
    return format_table([f"{split} scores", *METRICS.values(), "Loss"], rows)


def describe_samples(samples: Sequence[tuple[tuple[str, ...], Mapping[str, Mapping[str, float]]]]) -> str:
    """Each text with its tasks' probabilities, the likeliest label first."""
    blocks = []
    for text, tasks in samples:
        lines = [f"> {' / '.join(text)}"]
        width = max(len(name) for name in tasks)
        for name, probabilities in tasks.items():
            ranked = sorted(probabilities.items(), key=lambda item: -item[1])
            lines.append(f"  {name:<{width}}  " + "   ".join(f"{label} {value:.1%}" for label, value in ranked))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
