"""A task that no longer improves leaves the loss, and keeps its best head."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainerControl, TrainerState, TrainingArguments

from .run_callback import RunCallback

logger = logging.getLogger(__name__)

FILE = "task_stopping.safetensors"
"""What a checkpoint holds of this: the best heads, and in its header the best values and how long ago they were."""


class TaskStopping(RunCallback):
    """Early stopping task by task.

    After every evaluation, a task whose metric has not become better for `patience` evaluations stops: its targets no
    longer count, so that neither its head nor the encoder is trained on it. Before the next step, or at the end, its
    head gets the weights that it had at its best evaluation: a checkpoint holds what was evaluated. The run ends when
    all of these tasks have stopped.

    Args:
        metrics: Per task that is trained, the key of its metric among those of an evaluation, such as
            `eval_topic_f1_macro`, and whether higher is better.
        patience: Evaluations without an improvement.
    """

    def __init__(self, metrics: Mapping[str, tuple[str, bool]], patience: int) -> None:
        self._metrics = dict(metrics)
        self._patience = patience
        self._is_training = False
        self._start()

    def _start(self) -> None:
        self.stopped: set[str] = set()
        self._best: dict[str, float] = {}
        self._waited: dict[str, int] = {}
        self._heads: dict[str, dict[str, Tensor]] = {}
        self._pending: set[str] = set()
        """Tasks that have stopped and whose heads are still those of their last evaluation."""

    @contextmanager
    def training(self) -> Iterator[None]:
        """Look at evaluations, from none on: those that a user asks for before or after are none of training's."""
        self._start()
        self._is_training = True
        try:
            yield
        finally:
            self._is_training = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make no step of a run that has ended."""
        if self._metrics and self.stopped >= set(self._metrics):  # in the run that is resumed
            control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Compare each task with its best, and stop those that have waited long enough."""
        metrics, model = kwargs["metrics"], kwargs["model"]
        if not self._is_training:
            return
        for task, (key, higher_is_better) in self._metrics.items():
            if task in self.stopped or key not in metrics:
                continue
            value = metrics[key] if higher_is_better else -metrics[key]
            if value > self._best.get(task, float("-inf")):
                self._best[task], self._waited[task] = value, 0
                self._heads[task] = {name: _values(p) for name, p in _head(model, task).items()}
                continue
            self._waited[task] = self._waited.get(task, 0) + 1
            if self._waited[task] >= self._patience:
                self._stop(task, state)
        if self._metrics and self.stopped >= set(self._metrics):
            control.should_training_stop = True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the best heads back of tasks that stopped at the evaluation before."""
        self._put_back(kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The same, unless the best checkpoint is what the run ends with."""
        if not args.load_best_model_at_end:
            self._put_back(kwargs["model"])

    def save(self, folder: str) -> None:
        """Write what a resumed run needs into the checkpoint `folder`."""
        tensors = {f"{task}.{name}": p for task, head in self._heads.items() for name, p in head.items()}
        record = {"stopped": sorted(self.stopped), "best": self._best, "waited": self._waited}
        record["pending"] = sorted(self._pending)
        tensors = tensors or {"none": torch.zeros(1)}  # an empty file is no safetensors file
        save_file(tensors, Path(folder) / FILE, metadata={"record": json.dumps(record)})

    def load(self, folder: str) -> None:
        """Go on from the checkpoint `folder`; from the beginning where it was written without task stopping."""
        path = Path(folder) / FILE
        if not path.is_file():
            return
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            self._heads = {}
            for key in file.keys():  # noqa: SIM118 - no mapping
                task, _, name = key.partition(".")
                if name:
                    self._heads.setdefault(task, {})[name] = file.get_tensor(key)
        self.stopped, self._best, self._waited = set(record["stopped"]), record["best"], record["waited"]
        self._pending = set(record.get("pending", ()))

    @torch.no_grad()
    def _put_back(self, model: nn.Module) -> None:
        for module in model.modules() if self._pending else ():
            if isinstance(module, FSDPModule):  # behind an evaluation whole parameters lie over a process's share
                module.reshard()
        for task in self._pending:
            for name, parameter in _head(model, task).items():
                if name in self._heads.get(task, {}):
                    _set(parameter, self._heads[task][name])
        self._pending.clear()

    def _stop(self, task: str, state: TrainerState) -> None:
        self.stopped.add(task)
        self._pending.add(task)
        if state.is_world_process_zero:
            logger.info(
                "Task %r stopped at step %d: %d evaluations without a better %s",
                *(task, state.global_step, self._patience, self._metrics[task][0]),
            )


def _values(parameter: nn.Parameter) -> Tensor:
    """A copy of all its values, of which a process may have a share."""
    values = parameter.detach()
    return (values.full_tensor() if isinstance(values, DTensor) else values).cpu().clone()


def _set(parameter: nn.Parameter, values: Tensor) -> None:
    if isinstance(parameter, DTensor):
        values = distribute_tensor(values.to(parameter.device), parameter.device_mesh, parameter.placements)
    parameter.copy_(values)


def _head(model: nn.Module, task: str) -> dict[str, nn.Parameter]:
    """The parameters of a task's head by their names within it, however `model` is wrapped; none without a head."""
    found = {}
    for path, parameter in model.named_parameters():
        parts: Sequence[str] = path.split(".")
        if "heads" in parts and parts[parts.index("heads") + 1] == task:
            found[".".join(parts[parts.index("heads") + 2 :])] = parameter
    return found
