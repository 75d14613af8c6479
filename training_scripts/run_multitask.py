"""Train one model on several tasks, from a configuration file to a checkpoint with its card.

    accelerate launch training_scripts/run_multitask.py [CONFIG.yaml] [--key value ...]

Without a file it runs training_scripts/configs/sample.yaml. A flag overrides the file: `--backbone`, `--pooling` and
the other keys of its top level, any training argument (`--learning_rate 5e-5`), or a dotted path
(`--tasks.topic.loss_weight 2`).
`--resume_from_checkpoint` continues from the last complete checkpoint, `--resume_from_checkpoint auto` too, or begins
where there is none; `--overwrite_output_dir` moves an earlier run aside. Ctrl-C saves a checkpoint and ends.
"""

import dataclasses
import logging
import math
import sys
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.trainer_utils import IntervalStrategy

from hf_multitask import MultiTaskModel, MultiTaskTrainer
from hf_multitask.backbones import published_name, resolve_backbone
from hf_multitask.data.mixing import Mixture, mix
from hf_multitask.data.preparation import PreparedData, prepare
from hf_multitask.data.skipped_rows import write_skipped_rows
from hf_multitask.data.streaming import StreamedMixture
from hf_multitask.data.tokenization import load_tokenizer
from hf_multitask.evaluation.findings import find
from hf_multitask.evaluation.metric import Metric
from hf_multitask.evaluation.registry import metrics_of
from hf_multitask.prediction import predict
from hf_multitask.publishing.figures import write_figures
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.report import describe_data
from hf_multitask.publishing.result_tables import describe_scores
from hf_multitask.publishing.run_record import ReportedMetric, RunRecord
from hf_multitask.publishing.samples import describe_samples
from hf_multitask.settings.command_line import parse_command_line
from hf_multitask.settings.run_settings import RunSettings
from hf_multitask.training.adapters import add_lora, merge
from hf_multitask.training.argument_parser import argument_names, parse_arguments
from hf_multitask.training.interruption import StopOnSignal
from hf_multitask.training.loading import train_batches
from hf_multitask.training.output_folder import claim_output_folder
from hf_multitask.training.threads import use_all_cores

HERE = Path(__file__).resolve().parent
DEFAULT_CONFIG = HERE / "configs" / "sample.yaml"
CARD_TEMPLATE = HERE.parent / "model_cards" / "template.md"
EVALUATED = {"validation": "eval", "test": "test"}
"""Split -> the prefix of its results, Hugging Face's."""

TOLD_ARGUMENTS = ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "optim")
TOLD_ARGUMENTS += ("lr_scheduler_type", "warmup_steps", "layer_decay", "embeddings_lr_scale", "bf16", "seed")


def main(words: list[str]) -> None:
    """Parse, load, map, train, evaluate, save, describe."""
    if "--help" in words or "-h" in words:
        print(__doc__)
        return
    try:  # whatever is wrong with the input is found here, before training starts
        settings = parse_command_line(words, DEFAULT_CONFIG, argument_names())
        args = parse_arguments({"eval_strategy": "epoch", "save_strategy": "epoch", **settings.training})
        use_all_cores(args)
        with args.main_process_first(desc="preparing the data"):
            data = prepare(settings)
            backbone = resolve_backbone(settings.backbone)
            tokenizer = load_tokenizer(backbone)
            splits = data.tokenized(tokenizer, settings.max_length)
        evaluated = {split: mix(list(splits[split].values())) for split in EVALUATED if split in splits}
        if "validation" not in evaluated and "eval_strategy" not in settings.training:
            args.eval_strategy = IntervalStrategy.NO
        set_seed(args.seed)  # the heads' first values too are a function of the seed
        train: Any = Mixture(splits["train"], settings.mixing)
        if data.streams:
            train = StreamedMixture(splits["train"], data.streams, settings.mixing, tokenizer, settings.max_length)
        model = MultiTaskModel.from_backbone(backbone, tasks=data.tasks, pooling=settings.pooling)
        trainer = MultiTaskTrainer(
            model if settings.lora is None else add_lora(model, settings.lora),
            args,
            processing_class=tokenizer,
            train_dataset=train,
            eval_dataset=evaluated.get("validation"),
        )
        with args.main_process_first(desc="claiming the output folder"):
            checkpoint = claim_output_folder(args, settings.overwrite_output_dir)  # last: it may move an earlier run
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")

    folder = Path(args.output_dir)
    record = describe(settings, data, trainer)
    speaks = trainer.is_world_process_zero()
    if speaks:
        logging.basicConfig(format="\n%(message)s\n")
        logging.getLogger("hf_multitask").setLevel(logging.INFO)
        write_skipped_rows(data.skipped, folder)
        print(describe_data(record))

    try:
        with StopOnSignal() as stop:
            trainer.add_callback(stop)
            results = {"train": trainer.train(resume_from_checkpoint=checkpoint).metrics}
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {error}")
    if stop.interrupted:
        trainer.save_checkpoint()
        trainer.end()
        if speaks:
            print(f"\nStopped. The same command with --resume_from_checkpoint goes on from {folder}")
        sys.exit(128 + stop.interrupted)

    calibration = {}
    if settings.calibrate and "validation" in evaluated:
        calibration = trainer.calibrate(evaluated["validation"])
    for split, rows in evaluated.items():
        prediction: Any = trainer.predict(rows, metric_key_prefix=EVALUATED[split])
        results[EVALUATED[split]] = prediction.metrics
    if settings.lora is not None and settings.lora.merge:
        trainer.model = merge(trainer.model)
    trainer.save_model(args.output_dir, _internal_call=True)  # pushed below, with its card
    trainer.save_state()
    for prefix, metrics in results.items():
        trainer.save_metrics(prefix, metrics)
    split = next(name for name in ("test", "validation", "train") if name in splits)
    texts = [(text,) for text in settings.sample_texts or ()] or data.first_texts(split, 4)
    samples = list(zip(texts, predict(trainer.model, tokenizer, texts, settings.max_length), strict=True))
    if speaks:
        tasks = trainer.model.config.tasks
        if evaluated:  # of the last split: the test, where there is one
            shown = find(tasks, prediction.predictions, prediction.label_ids, settings.confidence_intervals)
            record = dataclasses.replace(record, **dataclasses.asdict(shown))
        record = dataclasses.replace(
            record,
            tasks=tasks,
            results=results,
            samples=samples,
            log_history=trainer.state.log_history,
            calibration={task: dataclasses.asdict(found) for task, found in calibration.items()},
        )
        figures = write_figures(record, folder)
        (folder / "README.md").write_text(render_model_card(record, CARD_TEMPLATE, figures), encoding="utf-8")
        if split in EVALUATED:
            print(f"\n{describe_scores(record, EVALUATED[split])}")
        print(f"\n{describe_samples(samples)}\n\nThe model, its code and its card are in {args.output_dir}")
    if args.push_to_hub:
        trainer.push_to_hub()
    trainer.end()


def describe(settings: RunSettings, data: PreparedData, trainer: MultiTaskTrainer) -> RunRecord:
    """The record of a run that is about to start."""
    mixture, args = trainer.train_dataset, trainer.args
    epochs = args.num_train_epochs if data.streams else train_batches(mixture, args).num_epochs
    several = len(data.splits["train"]) > 1
    return RunRecord(
        name=Path(trainer.args.output_dir).resolve().name,
        base_model=published_name(settings.backbone),
        pooling=settings.pooling,
        max_length=settings.max_length,
        tasks=data.tasks,
        metrics={
            task.name: [
                ReportedMetric(m.name, m.title, m.higher_is_better)
                if isinstance(m, Metric)
                else ReportedMetric(m.name, m.name, None)
                for m in metrics_of(task)
            ]
            for task in data.tasks
        },
        label_counts={split: data.label_counts(split) for split in data.splits},
        target_summaries={split: data.number_summaries(split) for split in data.splits},
        sizes=data.sizes(),
        sources={name: dataset.path.rstrip("/").rpartition("/")[2] for name, dataset in settings.datasets.items()},
        skipped_rows=len(data.skipped),
        adapters=settings.lora is not None and not settings.lora.merge,
        mixing=settings.mixing.strategy if several else "",
        epoch_rows=[mixture.shares(epoch, epochs) for epoch in range(math.ceil(epochs))]
        if several and not data.streams
        else [],
        groups=[
            (group["name"], sum(p.numel() for p in group["params"]), group["lr"], group["weight_decay"])
            for group in trainer.parameter_groups()
        ],
        arguments={name: trainer.args.to_dict()[name] for name in TOLD_ARGUMENTS},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
