"""Where the models of a comparison are trained and answer, each as the shared model was."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PrinterCallback, set_seed

from ..modeling.task import Task
from ..training.replaced import replaced
from ..training.trainer import MultiTaskTrainer
from .budget import Budget, rows_of, rows_seen
from .clock import TrainingClock
from .experiment import Experiment
from .outcome import Numbers, Outcome, Store, answers_to, digest
from .run_arguments import decisive_arguments, evaluates, run_arguments

TIMED_TEXTS = 512
"""Of so many texts, spread over all lengths, the time to answer is taken."""

WORK = "_work-"
"""Begins the names of the folders of models under way."""

BESIDE_WEIGHTS = (".lora_", ".original_module.")
"""Parts of the names of what peft puts beside a model's own weights."""

NewModel = Callable[[Sequence[Task]], Any]
"""From tasks to a model that has learnt nothing yet."""


class Workbench:
    """Trains a model of some of the shared model's tasks, or takes what an earlier comparison has left of it.

    Args:
        trainer: That of the shared model, which is trained.
        new_model: Makes a fresh model for some of its tasks, as the shared one was before training. The random numbers
            are seeded before each call.
        rows: Those to be scored, tokenised.
        folder: Where outcomes are kept.
    """

    def __init__(self, trainer: MultiTaskTrainer, new_model: NewModel, rows: Dataset, folder: Path) -> None:
        self.tasks = [replace(task, temperature=1.0, thresholds=None) for task in trainer.model.config.tasks]
        mixture: Any = trainer.train_dataset
        self.budget = Budget(mixture, trainer.args)
        self._trainer, self._new_model = trainer, new_model
        if "length" in rows.column_names:  # so that little is padded
            rows = rows.select(np.argsort(-rows.with_format("numpy")["length"][:], kind="stable"))
        self._rows = rows
        self._timed = rows.select(np.linspace(0, len(rows) - 1, min(len(rows), TIMED_TEXTS)).astype(int))
        self._store = Store(folder)
        for left in folder.glob(f"{WORK}*"):  # by a comparison that was killed
            shutil.rmtree(left, ignore_errors=True)
        self._identity = self._describe()

    @property
    def timed(self) -> int:
        """Number of texts that the time to answer is taken of."""
        return len(self._timed)

    def shared(self) -> Outcome:
        """What the shared model answers as it is now."""
        experiment = Experiment(tuple(task.name for task in self.tasks), 0)
        fingerprint = self._fingerprint(experiment, self.budget.steps)
        clocks = [found for found in self._trainer.callback_handler.callbacks if isinstance(found, TrainingClock)]
        clock = next((found for found in clocks if found.steps), None)
        earlier = self._store.load(experiment, fingerprint)
        outcome = self._outcome(self._trainer, self.tasks, clock)
        if clock is None and earlier is not None:  # training was over: the times of then go with the other models'
            then = earlier.numbers
            numbers = replace(outcome.numbers, training=then.training, answering=then.answering)
            outcome = replace(outcome, numbers=numbers)
        self._store.save(experiment, fingerprint, outcome)
        return outcome

    def outcome(self, experiment: Experiment) -> Outcome:
        """What a model of some tasks answers, trained unless an earlier comparison has done so.

        Raises:
            ValueError: It cannot be trained.
            FloatingPointError: One of its losses is not finite.
        """
        rows, steps = self._plan(experiment)
        fingerprint = self._fingerprint(experiment, steps)
        found = self._store.load(experiment, fingerprint)
        if found is None:
            found = self._train(experiment, rows, steps)
            self._store.save(experiment, fingerprint, found)
        return found

    def _plan(self, experiment: Experiment) -> tuple[Any, int]:
        """Training rows, and the steps that see as many examples as the shared run, unless it ends early."""
        if len(experiment.tasks) == len(self.tasks):
            return self._trainer.train_dataset, self.budget.steps
        rows = self.budget.rows(experiment.tasks)
        return rows, self.budget.steps_for(rows, sum(self.budget.examples(experiment.tasks).values()))

    def _train(self, experiment: Experiment, rows: Any, steps: int) -> Outcome:
        tasks = self._tasks(experiment)
        with tempfile.TemporaryDirectory(prefix=WORK, dir=self._store.folder) as folder:
            args = run_arguments(
                self._trainer.args, experiment.tasks, experiment.seed, steps, self.budget.steps, Path(folder)
            )
            set_seed(args.seed)
            evaluated: Any = self._trainer.eval_dataset if evaluates(args) else None
            trainer = MultiTaskTrainer(
                self._new_model(tasks),
                args,
                processing_class=self._trainer.processing_class,
                train_dataset=rows,
                eval_dataset=None if evaluated is None else rows_of(evaluated, experiment.tasks, str(experiment)),
            )
            trainer.remove_callback(PrinterCallback)
            clock = TrainingClock()
            trainer.add_callback(clock)
            trainer.train()
            return self._outcome(trainer, tasks, clock)

    def _outcome(self, trainer: MultiTaskTrainer, tasks: Sequence[Task], clock: TrainingClock | None) -> Outcome:
        """What a model that is trained answers, and what the steps that it made cost."""
        names = [task.name for task in tasks]
        prediction = _predict(trainer, rows_of(self._rows, names, "the scored split"))
        timed = _predict(trainer, self._timed)  # after the other pass, which has warmed everything up
        answered = {
            task.name: answers_to(task, prediction.predictions[task.name], prediction.label_ids[task.name])
            for task in tasks
        }
        parameters, size = _size_of(trainer.model)
        mixture: Any = trainer.train_dataset
        steps = trainer.state.global_step  # fewer than planned where the run has ended early
        numbers = Numbers(
            steps=steps,
            examples=rows_seen(mixture, trainer.args, steps),
            training=None if clock is None else clock.seconds(steps),
            answering=timed.metrics["test_runtime"],
            parameters=parameters,
            size=size,
        )
        return Outcome(numbers, answered)

    def _tasks(self, experiment: Experiment) -> list[Task]:
        """The tasks of a model; a weight balances tasks, and one taken from several has none."""
        tasks = [task for task in self.tasks if task.name in experiment.tasks]
        return [replace(task, loss_weight=1.0) for task in tasks] if len(tasks) == 1 < len(self.tasks) else tasks

    def _fingerprint(self, experiment: Experiment, steps: int) -> str:
        """What tells a model from any other."""
        args = run_arguments(
            self._trainer.args, experiment.tasks, experiment.seed, steps, self.budget.steps, self._store.folder
        )
        tasks = [asdict(task) for task in self._tasks(experiment)]
        return digest({**self._identity, "tasks": tasks, "args": decisive_arguments(args)})

    def _describe(self) -> dict[str, Any]:
        """What all models of the comparison have in common: where they start from, and all rows."""
        set_seed(self._trainer.args.seed)
        model = self._new_model(self.tasks)
        weights = hashlib.sha256()
        for name, tensor in model.state_dict().items():
            weights.update(name.encode())
            weights.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        adapters = getattr(model, "peft_config", {})
        mixture: Any = self._trainer.train_dataset
        evaluated: Any = self._trainer.eval_dataset if evaluates(self._trainer.args) else None
        return {
            "start": weights.hexdigest(),
            "config": {key: value for key, value in model.config.to_dict().items() if key != "tasks"},
            "adapters": {name: config.to_dict() for name, config in adapters.items()},
            "train": {name: _digest_of(rows) for name, rows in mixture.datasets.items()},
            "mixing": asdict(mixture.settings),
            "evaluated": None if evaluated is None else _digest_of(evaluated),
            "scored": _digest_of(self._rows),
        }


def _size_of(model: nn.Module) -> tuple[int, int]:
    """Number of parameters and bytes of the weights, of a model with adapters as if these were merged."""
    apart = BESIDE_WEIGHTS if hasattr(model, "peft_config") else ()
    parameters = [found for name, found in model.named_parameters() if not any(part in name for part in apart)]
    tensors = [found for name, found in model.state_dict().items() if not any(part in name for part in apart)]
    return sum(map(torch.numel, parameters)), sum(found.numel() * found.element_size() for found in tensors)


def _predict(trainer: MultiTaskTrainer, rows: Dataset) -> Any:
    """Predictions in the order of the rows, without metrics."""
    with (
        replaced(trainer.args, train_sampling_strategy="random"),  # by length, their order would be chance
        replaced(trainer, compute_metrics=None, preprocess_logits_for_metrics=None),
    ):
        return trainer.predict(rows)


def _digest_of(rows: Dataset) -> str:
    """The same for rows that are the same to the last token and target."""
    found = hashlib.sha256()
    for batch in rows.with_format(None).iter(batch_size=10_000):
        found.update(digest(batch).encode())
    return found.hexdigest()
