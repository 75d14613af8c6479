"""A finished run with a task of every kind, every number in it different from all others."""

from hf_multitask import Task
from hf_multitask.publishing.run_record import Machine, ReportedMetric, RunRecord

MACRO_F1 = ReportedMetric("f1_macro", "Macro F1", True)
ACCURACY = ReportedMetric("accuracy", "Accuracy", True)
RMSE = ReportedMetric("rmse", "RMSE", False)
COSINES = ReportedMetric("spearman", "Spearman", True)
FOREIGN = ReportedMetric("foreign", "foreign", None)

TASKS = [
    Task(name="topic", labels=("News", "Opinion", "a|b, \n<c>"), description="What a text | is\n<about>."),
    Task(name="mood", labels=("n", "p"), loss_weight=0.5, head={"hidden": [8], "dropout": 0.25}),
    Task(name="stars", problem_type="ordinal", labels=("1", "2", "3")),
    Task(name="flags", problem_type="multi_label_classification", labels=("spam", "rude"), class_weights=(1.5, 2.25)),
    Task(name="places", problem_type="token_classification", labels=("O", "B-LOC", "I-LOC")),
    Task(name="length", problem_type="regression", target_mean=(31.5,), target_std=(4.125,)),
    Task(name="alike", problem_type="similarity", score_range=(1.0, 5.0)),
]
METRICS = {task.name: [MACRO_F1, ACCURACY] for task in TASKS[:5]} | {"length": [RMSE, FOREIGN], "alike": [COSINES]}


class Numbers:
    """Numbers that all differ, in four digits too."""

    def __init__(self):
        self.used = 0

    def share(self):
        self.used += 1
        return round(0.1013 + 0.0007 * self.used, 4)

    def count(self):
        self.used += 1
        return 1000 + 7 * self.used


def classes_of(task):
    return ("LOC",) if task.reads_tokens else task.labels


def record(**overrides) -> RunRecord:
    """The run, with other values for some of its fields."""
    of = Numbers()
    labelled = [task for task in TASKS if task.labels]
    results = {"train": {"train_runtime": 12345.0, "train_samples_per_second": 1234.56, "train_loss": 0.5}}
    for split in ("eval", "test"):
        keys = [f"{t.name}_{name}" for t in TASKS for name in [*(m.name for m in METRICS[t.name]), "loss"]]
        results[split] = {f"{split}_{key}": of.share() for key in [*keys, "average", "worst"]}
    known = [f"{task.name}_{metric.name}" for task in TASKS for metric in METRICS[task.name] if metric is not FOREIGN]
    values = {
        "name": "run",
        "base_model": "someone/some-bert",
        "pooling": "mean",
        "max_length": 64,
        "tasks": TASKS,
        "metrics": METRICS,
        "label_counts": {
            split: {task.name: {label: of.count() for label in task.labels} for task in labelled}
            for split in ("train", "validation", "test")
        },
        "target_summaries": {
            split: {
                name: {name: {"count": of.count(), "mean": of.share(), "min": -of.share(), "max": of.share()}}
                for name in ("length", "alike")
            }
            for split in ("train", "validation", "test")
        },
        "sizes": {name: {"train": of.count(), "test": of.count()} for name in ("news", "films")},
        "sources": {"news": "news_folder", "films": "someone/films"},
        "hub_datasets": ["films"],
        "task_datasets": {task.name: ["films"] if task.name == "mood" else ["news", "films"] for task in TASKS},
        "pair_tasks": ["alike"],
        "license": "apache-2.0",
        "languages": ["en", "no"],
        "embedding_size": 333,
        "parameters": 7654321,
        "machine": Machine(3, "Some GPU", "bfloat16 mixed with float32"),
        "skipped_rows": 987,
        "mixing": "temperature (2)",
        "epoch_rows": [{"news": of.count(), "films": of.count()} for _ in range(2)],
        "groups": [("layers.0", 1234, 1e-5, 0.01), ("layers.0", 56, 1e-5, 0.0), ("heads", 4, 1e-4, 0.0)],
        "arguments": {"seed": 42},
        "retention": "distill",
        "results": results,
        "intervals": {key: (of.share(), of.share()) for key in known},
        "calibration": {
            name: {
                "temperature": 1.0 + of.share(),
                **{key: of.share() for key in ("ece_before", "ece_after", "nll_before", "nll_after")},
                "thresholds": (of.share(), of.share()) if name == "flags" else None,
            }
            for name in ("topic", "flags")
        },
        "confusion": {
            task.name: [[of.count() for _ in task.labels] for _ in task.labels] for task in TASKS if task.is_choice
        },
        "per_class": {
            task.name: {
                label: {"precision": of.share(), "recall": of.share(), "f1": of.share(), "support": of.count()}
                for label in classes_of(task)
            }
            for task in labelled
        },
        "log_history": log_history(),
        "samples": [
            (
                ("a text", "another"),
                {
                    "topic": {"label": "News", "score": 0.875},
                    "stars": {"label": "2", "score": 0.25},
                    "flags": [{"label": "rude", "score": 0.75}],
                    "places": [{"entity_group": "LOC", "word": "Rome", "start": 0, "end": 4, "score": 0.5}],
                    "length": {"score": 30.25},
                    "alike": {"score": 0.4375},
                },
                {
                    "topic": [{"label": "News", "score": 0.875}, {"label": "Opinion", "score": 0.125}],
                    "stars": [{"label": n, "score": share} for n, share in (("1", 0.375), ("3", 0.375), ("2", 0.25))],
                    "flags": [{"label": "rude", "score": 0.75}, {"label": "spam", "score": 0.125}],
                    "places": [{"entity_group": "LOC", "word": "Rome", "start": 0, "end": 4, "score": 0.5}],
                    "length": {"score": 30.25},
                    "alike": {"score": 0.4375},
                },
            )
        ],
    }
    values["before"] = {
        split: {
            f"{split}_{t.name}_{name}": of.share()
            for t in found
            for name in [*(m.name for m in METRICS[t.name]), "loss"]
        }
        for split, found in (("eval", TASKS[1:3]), ("test", TASKS[2:4]))
    }
    return RunRecord(**{**values, **overrides})


def log_history():
    """Six lines of training and two of evaluation; the last learning rate is 0."""
    log = []
    for step in range(1, 7):
        line = {"step": step, "epoch": step / 3, "loss": 6.0 / step} | {f"loss/{t.name}": 1.0 / step for t in TASKS}
        log.append(line | {f"lr/{name}": rate * (6 - step) for name, rate in (("layers.0", 1e-5), ("heads", 1e-4))})
        if step % 3 == 0:
            scores = {f"eval_{t.name}_{METRICS[t.name][0].name}": 0.1 * step for t in TASKS}
            log.append({"step": step, "eval_loss": 3.0 / step} | {f"eval_{t.name}_loss": 0.5 for t in TASKS} | scores)
    return log
