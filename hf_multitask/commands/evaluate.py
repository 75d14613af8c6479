"""Score a checkpoint on the data that a configuration names."""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.mixing import mix
from ..data.preparation import prepare
from ..evaluation.findings import find
from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.task import Task
from ..opening import read_config
from ..publishing.result_tables import describe_scores
from ..settings.run_settings import SPLITS, RunSettings, TaskSettings
from ..settings.yaml_file import read_yaml
from ..training.argument_parser import parse_arguments
from ..training.trainer import MultiTaskTrainer
from .description import scored_record

DESCRIPTION = """\
Scores the tasks of a checkpoint on the data that a configuration of a training run names, in the same splits, and
prints the table of the run. Labels, metrics and calibration are those of the checkpoint.
"""

PREFIXES = {"train": "train", "validation": "eval", "test": "test"}
"""Split -> prefix of its results, Hugging Face's."""

READ_ARGUMENTS = (
    "per_device_eval_batch_size",
    "train_sampling_strategy",  # of evaluation too; the order of the rows decides which ones a bootstrap draws
    "eval_accumulation_steps",
    "dataloader_num_workers",
    "use_cpu",
    "bf16",
    "fp16",
    "tf32",
)
"""Those of the training arguments that say how a split is scored."""


def main(words: Sequence[str]) -> None:
    """Do what the words of the command line say.

    Raises:
        ValueError: The configuration or its data cannot be, or do not fit the checkpoint's tasks.
        OSError: Something cannot be read or written.
    """
    parser = argparse.ArgumentParser(
        "hf_multitask evaluate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="DIR", help="folder of the checkpoint, or its id on the Hub")
    parser.add_argument("config", metavar="CONFIG.yaml", help="configuration of a training run")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the rows to score (test)")
    intervals = "95 %% bootstrap intervals, in the table of the test split and in the file"
    parser.add_argument("--confidence_intervals", action="store_true", help=intervals)
    parser.add_argument("--output", metavar="FILE.json", help="write the results there too; must not exist yet")
    told = parser.parse_args(words)
    output = None if told.output is None else Path(told.output)
    if output is not None and output.exists():
        raise ValueError(f"The output must not exist yet, found {output}. Choose another name, or move the file aside.")

    tasks = read_config(told.checkpoint).tasks
    path = Path(told.config)
    settings = with_tasks_of(RunSettings.from_dict(read_yaml(path), folder=path.resolve().parent), tasks)
    with tempfile.TemporaryDirectory() as folder:
        kept = {key: settings.training[key] for key in READ_ARGUMENTS if key in settings.training}
        args = parse_arguments({**kept, "output_dir": folder, "report_to": "none"})
        with args.main_process_first(desc="preparing the data"):
            model: Any = MultiTaskModel.from_pretrained(told.checkpoint)
            data = prepare(settings)
            if told.split not in data.splits:
                raise ValueError(
                    f"The split must be one of {list(data.splits)}, which the data have, found {told.split!r}. Name "
                    "one by --split."
                )
            splits = data.tokenized(model.tokenizer, model.tokenizer.model_max_length)
        trainer = MultiTaskTrainer(model, args, processing_class=model.tokenizer)
        prefix = PREFIXES[told.split]
        prediction: Any = trainer.predict(mix(list(splits[told.split].values())), metric_key_prefix=prefix)
    if trainer.is_world_process_zero():
        found = find(tasks, prediction.predictions, prediction.label_ids, told.confidence_intervals)
        record = scored_record(model.config, {prefix: prediction.metrics}, found.intervals)
        print(describe_scores(record, prefix))
        if output is not None:
            results = prediction.metrics | ({"confidence_intervals": found.intervals} if found.intervals else {})
            output.write_text(json.dumps(results, indent=4, sort_keys=True), encoding="utf-8")
    trainer.end()


def with_tasks_of(settings: RunSettings, tasks: Sequence[Task]) -> RunSettings:
    """The settings with the kinds and labels of a checkpoint's tasks, whatever the data would tell of them.

    Args:
        settings: Of a run.
        tasks: The checkpoint's.

    Raises:
        ValueError: The settings have a task that the checkpoint has not.
    """
    by_name = {task.name: task for task in tasks}
    others = [name for name in settings.tasks if name not in by_name]
    if others:
        raise ValueError(
            f"The tasks of the configuration must be the checkpoint's, {list(by_name)}, found {others}. Remove them "
            "from tasks and from the targets of its datasets."
        )
    imposed = {}
    for name in settings.tasks:
        task = by_name[name]
        imposed[name] = TaskSettings(
            problem_type=task.problem_type,
            labels=list(task.labels),
            score_range=None if task.score_range is None else list(task.score_range),
        )
    return dataclasses.replace(settings, tasks=imposed)
