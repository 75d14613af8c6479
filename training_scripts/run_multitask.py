"""Train one model on several tasks, from a configuration file to a checkpoint with its card.

    accelerate launch training_scripts/run_multitask.py [CONFIG.yaml] [--key value ...]

Without a file it runs training_scripts/configs/sample.yaml. A flag overrides the file: `--backbone`, `--pooling` and
the other keys of its top level, any training argument (`--learning_rate 5e-5`), or a dotted path
(`--tasks.topic.loss_weight 2`).
`--resume_from_checkpoint` continues from the last checkpoint; `--overwrite_output_dir` moves an earlier run aside.
"""

import dataclasses
import logging
import sys
from pathlib import Path

from transformers import set_seed
from transformers.trainer_utils import IntervalStrategy

from hf_multitask import MultiTaskModel, MultiTaskTrainer
from hf_multitask.backbones import published_name, resolve_backbone
from hf_multitask.data.preparation import PreparedData, prepare
from hf_multitask.data.tokenization import load_tokenizer
from hf_multitask.prediction import predict_probabilities
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.report import describe_data, describe_samples, describe_scores
from hf_multitask.publishing.run_record import RunRecord
from hf_multitask.settings.command_line import parse_command_line
from hf_multitask.settings.run_settings import RunSettings
from hf_multitask.training.argument_parser import argument_names, parse_arguments
from hf_multitask.training.output_folder import claim_output_folder
from hf_multitask.training.threads import use_all_cores

HERE = Path(__file__).resolve().parent
DEFAULT_CONFIG = HERE / "configs" / "sample.yaml"
CARD_TEMPLATE = HERE.parent / "model_cards" / "template.md"
EVALUATED = {"validation": "eval", "test": "test"}
"""Split -> the prefix of its results, Hugging Face's."""

TOLD_ARGUMENTS = ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "optim")
TOLD_ARGUMENTS += ("lr_scheduler_type", "warmup_steps", "layer_decay", "embeddings_lr_scale", "seed")


def main(words: list[str]) -> None:
    """Parse, load, map, train, evaluate, save, describe."""
    if "--help" in words or "-h" in words:
        print(__doc__)
        return
    try:  # whatever is wrong with the input is found here, before training starts
        settings = parse_command_line(words, DEFAULT_CONFIG, argument_names())
        args = parse_arguments({"eval_strategy": "epoch", **settings.training})
        use_all_cores(args)
        with args.main_process_first(desc="preparing the data"):
            data = prepare(settings)
            backbone = resolve_backbone(settings.backbone)
            tokenizer = load_tokenizer(backbone)
            splits = data.tokenized(tokenizer, settings.max_length)
        if "validation" not in splits and "eval_strategy" not in settings.training:
            args.eval_strategy = IntervalStrategy.NO
        set_seed(args.seed)  # the heads' first values too are a function of the seed
        model = MultiTaskModel.from_backbone(backbone, tasks=data.tasks, pooling=settings.pooling)
        trainer = MultiTaskTrainer(
            model,
            args,
            processing_class=tokenizer,
            train_dataset=splits["train"],
            eval_dataset=splits.get("validation"),
        )
        with args.main_process_first(desc="claiming the output folder"):
            checkpoint = claim_output_folder(args, settings.overwrite_output_dir)  # last: it may move an earlier run
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"error: {error}")

    record = describe(settings, data, trainer)
    speaks = trainer.is_world_process_zero()
    if speaks:
        logging.basicConfig(format="\n%(message)s\n")
        logging.getLogger("hf_multitask").setLevel(logging.INFO)
        print(describe_data(record))

    results = {"train": trainer.train(resume_from_checkpoint=checkpoint).metrics}
    for split, prefix in EVALUATED.items():
        if split in splits:
            results[prefix] = trainer.evaluate(splits[split], metric_key_prefix=prefix)

    trainer.save_model(args.output_dir, _internal_call=True)  # pushed below, with its card
    trainer.save_state()
    for prefix, metrics in results.items():
        trainer.save_metrics(prefix, metrics)
    if speaks:
        split = next(name for name in ("test", "validation", "train") if name in splits)
        texts = [(text,) for text in settings.sample_texts or ()] or data.first_texts(split, 4)
        samples = list(zip(texts, predict_probabilities(model, tokenizer, texts, settings.max_length), strict=True))
        record = dataclasses.replace(record, results=results, samples=samples)
        (Path(args.output_dir) / "README.md").write_text(render_model_card(record, CARD_TEMPLATE), encoding="utf-8")
        if split in EVALUATED:
            print(f"\n{describe_scores(record, EVALUATED[split])}")
        print(f"\n{describe_samples(samples)}\n\nThe model, its code and its card are in {args.output_dir}")
    if args.push_to_hub:
        trainer.push_to_hub()
    trainer.accelerator.end_training()


def describe(settings: RunSettings, data: PreparedData, trainer: MultiTaskTrainer) -> RunRecord:
    """The record of a run that is about to start."""
    return RunRecord(
        name=Path(trainer.args.output_dir).resolve().name,
        base_model=published_name(settings.backbone),
        pooling=settings.pooling,
        max_length=settings.max_length,
        tasks=data.tasks,
        label_counts={split: data.label_counts(split) for split in data.splits},
        sizes=data.sizes(),
        sources={name: dataset.path.rstrip("/").rpartition("/")[2] for name, dataset in settings.datasets.items()},
        groups=[
            (group["name"], sum(p.numel() for p in group["params"]), group["lr"], group["weight_decay"])
            for group in trainer.parameter_groups()
        ],
        arguments={name: trainer.args.to_dict()[name] for name in TOLD_ARGUMENTS},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
