"""What happens to the tasks' losses and gradients between a batch and the optimizer: balancing, and looking on."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from transformers import TrainerControl, TrainerState, TrainingArguments

from ..balancing.conflict import ConflictMonitor
from ..balancing.conflict_by_depth import depth_cosines
from ..balancing.fan_out import FanOut
from ..balancing.method import GradientMethod, LossMethod
from ..balancing.methods import GRADIENT_METHODS, KEEP_SHARES, LOSS_METHODS, gradient_method, loss_method
from ..modeling.losses import total_loss
from .arguments import MultiTaskTrainingArguments
from .balancing_state import load_balancing, save_balancing
from .layerwise import named_groups
from .random_replay import RandomState
from .run_callback import RunCallback


class TaskGradients(RunCallback):
    """Balances the tasks, and measures the conflicts of their gradients, as the training arguments say.

    Args:
        model: The [`MultiTaskModel`] itself, not wrapped; its `fan_out` is set where gradients are looked at.
        args: The Trainer's.
        reduce: Sums a tensor over all processes.
        log: Takes the conflicts of a step.
        measure: The tasks' losses of a micro-batch, without a graph; for a method that measures after the step.

    Raises:
        ImportError: A package that the method needs is not installed.
    """

    def __init__(
        self,
        model: Any,
        args: MultiTaskTrainingArguments,
        *,
        reduce: Callable[[Tensor], Tensor],
        log: Callable[[dict[str, float]], None],
        measure: Callable[[Any, Any], Mapping[str, Tensor]],
    ) -> None:
        self._model, self._args = model, args
        self._reduce, self._log, self._measure = reduce, log, measure
        self._tasks = [task for task in model.config.tasks if task.loss_weight]
        self._fan_out = FanOut(model.config.tasks, self._combine)
        self._group: Any = None
        self._start()

    def _start(self) -> None:
        names, name = [task.name for task in self._tasks], self._args.balancing
        self._losses: LossMethod | None = None
        self._gradients: GradientMethod | None = None
        if name in LOSS_METHODS:
            self._losses = loss_method(name, names, self._args.head_learning_rate)
        if name in GRADIENT_METHODS:
            self._gradients = gradient_method(name, names, self._args.seed)
        every = self._args.conflict_steps
        self._monitor = ConflictMonitor(names, every, self._args.device) if every else None
        self._cosines: dict[str, float] | None = None  # by depth, of the first micro-batch
        self._measuring = False
        self._random: RandomState | None = None
        self._names: list[str] = []  # of the tasks in the effective batch
        self._due: ConflictMonitor | None = None  # the monitor, in a step that it watches
        self._micro_batches: Sequence[Any] = ()
        self._counts: Any = None
        self._sums: dict[str, Tensor] = {}
        self._factors: dict[str, float] = {}
        self._logged: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """A run from its beginning to its end, however it ends; nothing of it is left in the model."""
        self._start()
        if self._args.world_size > 1 and self._gradients is not None and self._group is None:
            self._group = dist.new_group()  # its own, so that the order of others' collectives does not matter
        try:
            yield
        finally:
            self._model.fan_out = None

    def begin_epoch(self, epoch: int) -> None:
        """The epoch with this number begins, or goes on."""
        if self._losses is not None:
            self._losses.begin_epoch(epoch)

    def begin_batch(self, counts: Mapping[str, Tensor], micro_batches: Sequence[Any], step: int) -> None:
        """An effective batch begins.

        Args:
            counts: Per task that has any there, its targets in all processes.
            micro_batches: Its parts in this process.
            step: The number of the optimizer's step it is for, from 1.
        """
        self._names = [task.name for task in self._tasks if task.name in counts]
        self._counts, self._sums = counts, {}
        self._due = self._monitor if self._monitor is not None and self._monitor.due(step) else None
        self._model.fan_out = self._fan_out if self._gradients is not None or self._due is not None else None
        if self._losses is not None:
            self._factors = self._losses.factors(self._names)
            self._micro_batches = micro_batches if self._losses.measures_after else ()
            self._note(self._factors)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember where the random numbers stand, behind whatever a resumed run restores."""
        self._random = RandomState(self._args.device) if self._micro_batches else None

    def weigh(self, loss: Tensor, losses: Mapping[str, Tensor], processes: int) -> Tensor:
        """The loss of a micro-batch to learn from: `loss`, unless the tasks' losses are weighed anew.

        Args:
            loss: As the model and the Trainer have it.
            losses: Per task, without its weight.
            processes: What the Trainer multiplied `loss` by, since gradients are averaged over processes.
        """
        if self._losses or self._gradients:
            self._add(losses)
        if self._due is not None and self._args.conflict_by_depth and self._cosines is None:
            self._cosines = self._by_depth(losses)
        if self._losses is None or not self._names:
            return loss
        weighed = {name: losses[name] * self._factors[name] for name in self._names if name in losses}
        total = total_loss(self._tasks, weighed)
        return loss if total is None else total * processes

    def _by_depth(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        groups = {name: group for name, group in named_groups(self._model).items() if name not in ("heads", "loss")}
        self._measuring = True
        try:
            return depth_cosines(losses, groups, [task.name for task in self._tasks], self._reduce)
        finally:
            self._measuring = False

    def _add(self, losses: Mapping[str, Tensor]) -> None:
        for task in self._tasks:
            if task.name in losses:
                part = losses[task.name].detach()
                self._sums[task.name] = self._sums[task.name] + part if task.name in self._sums else part

    def _combine(self, names: Sequence[str], virtual_TDD: Tensor) -> Tensor | None:
        """What the fan-out asks for in each backward pass; see [`FanOut`]."""
        if self._measuring:  # a backward pass that nothing learns from
            return None
        if self._due is not None:
            self._due.observe(names, virtual_TDD)
        if self._gradients is None:
            return None
        rows = [self._names.index(name) for name in names]
        whole_TDD = virtual_TDD.new_zeros(len(self._names), *virtual_TDD.shape[1:])
        whole_TDD[rows] = virtual_TDD
        if self._group is not None:
            dist.all_reduce(whole_TDD, group=self._group)
        if self._args.balancing not in KEEP_SHARES:
            weights = {task.name: task.loss_weight for task in self._tasks}
            whole_TDD /= whole_TDD.new_tensor([weights[name] for name in self._names])[:, None, None]
        factors = self._gradients.factors(self._names, whole_TDD)
        takes_part = whole_TDD.flatten(1).any(dim=1).tolist()
        self._note({name: c for name, c, takes in zip(self._names, factors, takes_part, strict=True) if takes})
        return virtual_TDD.new_tensor([factors[row] for row in rows])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Learn from the effective batch that has ended, and log its conflicts."""
        method = self._losses or self._gradients
        if method is not None and self._names:
            losses = self._over_processes()
            method.update(losses, self._losses_after() if self._micro_batches else {})
        if self._due is not None:
            cosines = self._due.cosines(self._reduce) | (self._cosines or {})
            due = control.should_log
            if cosines:  # none where only one task has labels
                self._log(cosines)
            control.should_log = due  # `Trainer.log` takes the step's own line, with its loss, for written
        self._names, self._micro_batches, self._due, self._cosines = [], (), None, None
        self._model.fan_out = None

    def _losses_after(self) -> dict[str, float]:
        """The losses of the effective batch behind the optimizer's step, with the random numbers it had before."""
        assert self._random is not None
        self._sums = {}
        with self._random.again():
            for micro_batch in self._micro_batches:
                self._add(self._measure(micro_batch, self._counts))
        return self._over_processes()

    def _over_processes(self) -> dict[str, float]:
        nothing = torch.zeros((), device=self._args.device)
        sums_T = self._reduce(torch.stack([self._sums.get(name, nothing) for name in self._names]))
        # A divergence from another model's answers may come out below 0 by rounding; methods take logarithms.
        return {name: max(loss, 0.0) for name, loss in zip(self._names, sums_T.tolist(), strict=True)}

    def _note(self, factors: Mapping[str, float]) -> None:
        for name, factor in factors.items():
            self._logged.setdefault(name, []).append(factor)

    def logs(self) -> dict[str, float]:
        """Per task, `balance/<task>`: the mean of its factors since the last line of the log."""
        means = {f"balance/{name}": sum(factors) / len(factors) for name, factors in self._logged.items()}
        self._logged = {}
        return means

    def save(self, folder: str) -> None:
        """Write what a resumed run needs into the checkpoint `folder`."""
        method = self._losses or self._gradients
        if method is not None:
            save_balancing(folder, self._args.balancing, [task.name for task in self._tasks], method.state())

    def load(self, folder: str) -> None:
        """Go on from the checkpoint `folder`.

        Raises:
            ValueError: It was written with another balancing.
        """
        state = load_balancing(folder, self._args.balancing, [task.name for task in self._tasks])
        method = self._losses or self._gradients
        if method is not None:
            method.load(state)
