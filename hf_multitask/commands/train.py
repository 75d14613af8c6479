"""From a configuration file to a checkpoint with its card: set up, learn, score, save, describe."""

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.skipped_rows import write_skipped_rows
from ..evaluation.calibration import Calibration
from ..evaluation.findings import find
from ..modeling.hub import is_own_text
from ..modeling.pipeline_multitask import MultiTaskPipeline
from ..publishing.agreement_tables import describe_agreement
from ..publishing.figures import Illustration, write_figures, write_transfer_figures
from ..publishing.model_card import render_model_card
from ..publishing.report import describe_data
from ..publishing.result_tables import PREFIXES, describe_scores, earlier_table
from ..publishing.run_record import RunRecord
from ..publishing.samples import Sample, describe_samples
from ..publishing.transfer_record import TransferRecord
from ..publishing.transfer_tables import describe_transfer
from ..training.adapters import merge
from ..training.description import chosen_by
from ..training.interruption import StopOnSignal
from ..training.output_folder import write_errors_explained
from ..transfer.clock import TrainingClock
from .comparison import compare
from .description import describe_run
from .earlier_scores import score_earlier_tasks
from .run import Run, set_up

logger = logging.getLogger(__name__)

SAMPLES = 4
"""Of so many texts the answers are shown, where the configuration names none, ..."""

MOST_ANSWERS = 80
"""... and of fewer where these are more answers than so many."""


def train(words: Sequence[str], default: Path | None = None) -> None:
    """Do what a command line says; see [`set_up`] for its words. Ends the process with a message where it cannot."""
    if int(os.environ.get("RANK", "0")):
        logging.getLogger("hf_multitask").setLevel(logging.ERROR)  # the first of several processes warns
    try:
        run = set_up(words, default)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    record, trainer = describe_run(run), run.trainer
    speaks = trainer.is_world_process_zero()
    if speaks:
        logging.basicConfig(format="\n%(message)s\n")
        logging.getLogger("hf_multitask").setLevel(logging.INFO)
        write_skipped_rows(run.data.skipped, run.folder)
        print(describe_data(record))
        for reason in trainer.args.choices.reasons:
            print(f"\nperformance: {trainer.args.performance}, {reason}")
        trainer.record = record  # for the cards of checkpoints that are pushed

    if run.settings.compare_single_task:
        trainer.add_callback(TrainingClock())
    before = score_earlier_tasks(run)
    results = {"train": _learn(run, speaks)}
    try:
        calibration = _calibrate(run)
        prediction = _score(run, results)
    except Exception:
        if trainer.accelerator.num_processes == 1:  # others may not have come to this
            _save(run, results, before)  # it has been trained, whatever cannot be measured
        raise
    _save(run, results, before)
    samples = _answer_samples(run)
    if speaks:
        tasks = trainer.model.config.tasks
        if prediction is not None:
            found = find(tasks, prediction.predictions, prediction.label_ids, run.settings.confidence_intervals)
            record = dataclasses.replace(record, **vars(found))  # not copied: C x C of C labels
        record = dataclasses.replace(
            record,
            tasks=tasks,
            parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),  # adapters are merged
            results=results,
            before=before,
            samples=samples,
            log_history=trainer.state.log_history,
            chosen_by=chosen_by(trainer),
            calibration={task: dataclasses.asdict(found) for task, found in calibration.items()},
        )
    failures = []
    figures = _draw(record, run.folder) if speaks else []
    if run.settings.compare_single_task:  # by one process, which speaks
        _write_card(record, figures, run.folder)  # before what takes long
        transfer, failure = _compare(run)
        failures.append(failure)
        if transfer is not None:
            record = dataclasses.replace(record, transfer=transfer)
            figures += write_transfer_figures(transfer, run.folder)
    if speaks:
        _publish(record, figures, run.folder)
    failures.append(_push(run) if trainer.args.push_to_hub else "")
    trainer.end()
    if any(failures):
        sys.exit("\n".join(f"error: {failure}" for failure in failures if failure))


def _learn(run: Run, speaks: bool) -> dict[str, float]:
    """Train, and what that measured; a signal ends the process with a checkpoint."""
    try:
        with StopOnSignal() as stop:
            run.trainer.add_callback(stop)
            metrics: dict[str, float] = run.trainer.train(resume_from_checkpoint=run.checkpoint).metrics
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {error}")
    if stop.interrupted:
        run.trainer.save_checkpoint()
        run.trainer.end()
        if speaks:
            print(f"\nStopped. The same command with --resume_from_checkpoint goes on from {run.folder}")
        sys.exit(128 + stop.interrupted)
    return metrics


def _calibrate(run: Run) -> dict[str, Calibration]:
    """Fit temperatures and thresholds on the validation split, where there is one and the run is to."""
    if not run.settings.calibrate or "validation" not in run.evaluated:
        return {}
    return run.trainer.calibrate(run.evaluated["validation"])


def _score(run: Run, results: dict[str, Any]) -> Any:
    """Add the scores of each split to `results`; the predictions for the last one: the test, where there is one."""
    prediction = None
    for split, rows in run.evaluated.items():
        prediction = run.trainer.predict(rows, metric_key_prefix=PREFIXES[split])
        results[PREFIXES[split]] = prediction.metrics
    return prediction


def _save(run: Run, results: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Save the model, with adapters merged into it if it is to be, the log and all scores."""
    trainer, lora = run.trainer, run.settings.lora
    if lora is not None and lora.merge:
        trainer.model = trainer.model_wrapped = merge(trainer.model)
    with write_errors_explained(run.folder / "model.safetensors"):
        trainer.save_model(str(run.folder), _internal_call=True)  # pushed later, with its card
        trainer.save_state()
        for prefix, metrics in results.items():
            trainer.save_metrics(prefix, metrics)
        for prefix, metrics in before.items():
            trainer.save_metrics(f"{prefix}_before", metrics, combined=False)


def _draw(record: RunRecord, folder: Path) -> list[Illustration]:
    """The figures; without room for them, none."""
    try:
        return write_figures(record, folder)
    except OSError as error:
        logger.warning("Figures in %s are left out, found: %s. The model is saved; make room", folder, error)
        return []


def _compare(run: Run) -> tuple[TransferRecord | None, str]:
    """What sharing the model did to each task, or what went wrong; the run itself has ended well."""
    try:
        return compare(run), ""
    except (ValueError, FloatingPointError, OSError, RuntimeError) as error:  # too little memory is a RuntimeError
        return None, str(error)


def _push(run: Run) -> str:
    """Push the finished run; what went wrong, if anything did."""
    try:
        run.trainer.push_to_hub()
    except OSError as error:
        return str(error)
    return ""


def _answer_samples(run: Run) -> list[Sample]:
    """Texts, the configuration's or the first of the last split, with the answers of every task."""
    split = next(name for name in ("test", "validation", "train") if name in run.data.splits)
    count = min(SAMPLES, max(1, MOST_ANSWERS // len(run.data.tasks)))
    texts = [(text,) for text in run.settings.sample_texts or ()] or run.data.first_texts(split, count)
    model = run.trainer.model
    how = "off" if run.trainer.args.performance == "off" else "exact"
    # By itself it would take a free accelerator.
    pipe = MultiTaskPipeline(model, run.tokenizer, device=model.device, performance=how)
    return list(zip(texts, pipe(texts), pipe(texts, top_k=None), strict=True))


def _write_card(record: RunRecord, figures: Sequence[Illustration], folder: Path) -> None:
    path = folder / "README.md"
    if path.is_file() and is_own_text(path.read_text(encoding="utf-8")):  # of a run that went on
        logger.warning("%s is a text of your own and stays as it is. Remove it to have the card of the run", path)
        return
    path.write_text(render_model_card(record, figures), encoding="utf-8")


def _publish(record: RunRecord, figures: Sequence[Illustration], folder: Path) -> None:
    """Write the card, and tell the scores and the samples."""
    _write_card(record, figures, folder)
    if record.last_split in record.results:
        print(f"\n{describe_scores(record, record.last_split)}")
    if record.before:
        print(f"\n{earlier_table(record)}")
    if agreement := describe_agreement(record):
        print(f"\n{agreement}")
    if record.transfer is not None:
        print(f"\n{describe_transfer(record.transfer)}")
    print(f"\n{describe_samples(record.samples, record.tasks)}\n\nThe model, its code and its card are in {folder}")
