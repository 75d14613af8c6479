"""Score a checkpoint on the data that a configuration names."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets

from ..evaluation.findings import find
from ..modeling.modeling_multitask import MultiTaskModel
from ..opening import read_config
from ..publishing.result_tables import PREFIXES, describe_scores
from ..settings.command_line import parse_command_line
from ..settings.run_settings import SPLITS
from ..training.argument_parser import argument_names, parse_arguments
from ..training.trainer import MultiTaskTrainer
from .description import scored_record
from .parsing import command_parser
from .scored_data import scored_data

DESCRIPTION = """\
Scores the tasks of a checkpoint on the data that a configuration of a training run names, in the same splits, and
prints the table of the run. Labels, metrics and calibration are those of the checkpoint. Flags override the
configuration, as those of train do; those that decided the splits of the run (--seed) must be given again. A
configuration of datasets alone is enough for rows that are new.
"""

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
    usage = "%(prog)s DIR CONFIG.yaml [--split SPLIT] [--confidence_intervals] [--output FILE] [--key value ...]"
    parser = command_parser("evaluate", DESCRIPTION, usage=usage, allow_abbrev=False)
    parser.add_argument("config", metavar="CONFIG.yaml", help="configuration of a training run")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the rows to score (test)")
    intervals = "95 %% bootstrap intervals, in the file and, but for the train split, in the table"
    parser.add_argument("--confidence_intervals", action="store_true", help=intervals)
    parser.add_argument("--output", metavar="FILE.json", help="write the results there too; must not exist yet")
    told, flags = parser.parse_known_args(words)
    output = None if told.output is None else Path(told.output)
    if output is not None and output.exists():
        raise ValueError(f"The output must not exist yet, found {output}. Choose another name, or move the file aside.")

    tasks = read_config(told.checkpoint).tasks
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)  # now, not behind the scoring
    settings = parse_command_line([told.config, *flags], None, argument_names(), told.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        kept = {key: settings.training[key] for key in READ_ARGUMENTS if key in settings.training}
        args = parse_arguments({**kept, "output_dir": folder, "report_to": "none"})
        with args.main_process_first(desc="preparing the data"):
            model: Any = MultiTaskModel.from_pretrained(told.checkpoint)
            data = scored_data(told.checkpoint, settings, tasks, told.split)
            splits = data.tokenized(model.tokenizer, model.tokenizer.model_max_length, [told.split])
        trainer = MultiTaskTrainer(model, args, processing_class=model.tokenizer)
        prefix = PREFIXES[told.split]
        rows: Any = concatenate_datasets(list(splits[told.split].values()))
        prediction: Any = trainer.predict(rows, metric_key_prefix=prefix)
    if trainer.is_world_process_zero():
        found = find(tasks, prediction.predictions, prediction.label_ids, told.confidence_intervals)
        record = scored_record(model.config, {prefix: prediction.metrics}, found.intervals)
        print(describe_scores(record, prefix))
        if output is not None:
            results = prediction.metrics | ({"confidence_intervals": found.intervals} if found.intervals else {})
            output.write_text(json.dumps(results, indent=4, sort_keys=True), encoding="utf-8")
    trainer.end()
