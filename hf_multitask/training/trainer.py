"""The Trainer: Hugging Face's, with exact multi-task losses and layer-wise learning rates."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_optimizer import is_optimizer_factory

from ..data.collation import MultiTaskCollator
from ..evaluation.metrics import MultiTaskMetrics
from ..modeling.backbone import freeze_unused_modules
from ..modeling.task import Task
from .arguments import MultiTaskTrainingArguments
from .compilation import Compilation
from .computing import check_computing, fast
from .counting import count_batch_targets
from .empty_steps import EmptySteps
from .evaluating_trainer import EvaluatingTrainer
from .finite import FiniteLosses
from .freezing import GradualUnfreezing, freeze_for_trainer, has_other_record, warn_of_frozen_heads
from .gradient_checks import check_can_balance
from .gradients import TaskGradients
from .group_record import Record, check_groups, group_record, save_groups
from .layerwise import find_backbone, format_groups, layerwise_parameter_groups
from .loading import as_mixture, begin_epoch, train_order
from .loss_log import TaskLossLog
from .precision import leave_plain
from .progress import load_progress, save_progress
from .replaced import replaced
from .run_callback import running
from .schedule import scheduler_kwargs
from .stopping_rules import early_stopping, task_stopping
from .trainer_inputs import checked_arguments

logger = logging.getLogger(__name__)


class MultiTaskTrainer(EvaluatingTrainer):
    """Trains a [`MultiTaskModel`].

    - Every task's loss is its mean over the labelled rows of the *whole effective batch*: all micro-batches of an
      accumulation and all processes together. The gradients are those of one big batch.
    - A task without a labelled row there is left alone by the optimizer.
    - The optimizer's groups are those of [`layerwise_parameter_groups`].
    - The logs hold each task's loss (`loss/<task>`), each group's learning rate (`lr/<group>`), and the factors that
      balance the tasks (`balance/<task>`) where they are not just summed.
    - The order of the rows is a function of the seed and the epoch, for any number of processes; see [`BatchOrder`].
    - Evaluation losses are exact means over the split's labelled rows, not means of batch means.
    - A loss that is no finite number ends the run, with the task and the rows named.

    Args:
        model: The model to train.
        args: The training arguments.
        train_dataset: Tokenised rows with `targets`: a `Dataset`, several by name, or a [`Mixture`] of them.
        processing_class: The tokenizer; needed unless `data_collator` is given.
        data_collator: By default a [`MultiTaskCollator`] for the model's tasks.
        compute_metrics: By default [`MultiTaskMetrics`] for the model's tasks.
        **kwargs: Passed to [`Trainer`]. With `preprocess_logits_for_metrics`, evaluation has the mean of the batches'
            losses, and no tasks' losses.
    """

    args: MultiTaskTrainingArguments
    model: Any
    made_groups: Record | None = None
    """Those of its optimizer; `None` before there is one, and of an optimizer that somebody gave it."""

    def __init__(
        self,
        model: Any = None,
        args: MultiTaskTrainingArguments | None = None,
        *,
        train_dataset: Any = None,
        processing_class: Any = None,
        data_collator: Any = None,
        compute_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        given = {"train_dataset": train_dataset, "data_collator": data_collator, "compute_metrics": compute_metrics}
        args = checked_arguments(model, args, **given, **kwargs)
        tasks = model.config.tasks
        super().__init__(
            model,
            args,
            train_dataset=as_mixture(train_dataset),
            data_collator=data_collator or MultiTaskCollator(processing_class, tasks),
            processing_class=processing_class,
            compute_metrics=compute_metrics or MultiTaskMetrics(tasks),
            **kwargs,
        )
        if processing_class is not None:
            self._plain_model().tokenizer = processing_class  # saved with every checkpoint
        freeze_unused_modules(find_backbone(self.model))  # adapters may have been put there
        self._frozen = freeze_for_trainer(self.model, args.freeze)
        if not args.freeze:
            warn_of_frozen_heads(self.model)
        if args.gradual_unfreezing_steps:
            self.add_callback(GradualUnfreezing(args.gradual_unfreezing_steps))
        if args.early_stopping_patience:
            self.add_callback(early_stopping(args))
        self._stopping = task_stopping(tasks, args, self.eval_dataset) if args.task_patience else None
        if self._stopping:
            self.add_callback(self._stopping)
        order = train_order(self.train_dataset, self.data_collator, args)  # for its checks, now and not in training
        check_can_balance(self._plain_model(), [task for task in tasks if task.loss_weight], args, order)
        check_computing(self._plain_model(), self.args)
        self._tasks = [task.name for task in tasks]
        self._losses = TaskLossLog(args.device)
        self._finite = FiniteLosses(tasks)
        how: Any = {"reduce": self._sum_over_processes, "log": self.log, "measure": self._task_losses}
        self._gradients = TaskGradients(self._plain_model(), args, **how)
        self.add_callback(self._gradients)
        self._empty = EmptySteps(self.accelerator)
        self.add_callback(self._empty)
        self.add_callback(Compilation(self._plain_model(), args))
        self._group_rates: dict[str, float] = {}

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer.train`].

        Raises:
            ValueError: The model's tasks are not those it had when the Trainer was made.
        """
        if (tasks := [task.name for task in self.model.config.tasks]) != self._tasks:
            raise ValueError(
                f"The model's tasks must be those it had when the Trainer was made, {self._tasks}, found {tasks}. "
                "Make a new MultiTaskTrainer after add_task or remove_task."
            )
        self._losses.clear()
        self._finite.clear()
        if has_other_record(self.model, self._frozen):
            self._frozen = freeze_for_trainer(self.model, self.args.freeze)
        model = self._plain_model()
        knowing = model.with_known_parts(self.args.is_alone)
        try:
            with fast(model, self.args), knowing, running(self.callback_handler.callbacks):
                return super().train(*args, **kwargs)
        finally:
            self.is_in_train = False  # `Trainer` leaves it behind an exception
            leave_plain(self)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """As [`Trainer._run_epoch`], in the order of that epoch."""
        begin_epoch(self._order, kwargs["epoch"], kwargs["steps_trained_in_current_epoch"])
        self._gradients.begin_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)
        self._finite.check()  # the run may end here

    def parameter_groups(self, model: nn.Module | None = None) -> list[dict[str, Any]]:
        """The optimizer's parameter groups at their base rates; see [`layerwise_parameter_groups`]."""
        return layerwise_parameter_groups(
            self.model if model is None else model,
            learning_rate=self.args.learning_rate,
            head_learning_rate=self.args.head_learning_rate,
            layer_decay=self.args.layer_decay,
            embeddings_lr_scale=self.args.embeddings_lr_scale,
            weight_decay=self.args.weight_decay,
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer named by `args.optim` over layer-wise parameter groups.

        Raises:
            ValueError: That optimizer brings parameter groups of its own, which would replace these.
        """
        if self.optimizer is not None:
            return self.optimizer
        trained: Any = self.model if model is None else model
        optimizer_class, kwargs = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, trained)
        if is_optimizer_factory(optimizer_class) or {"params", "model", "optimizer_dict"} & set(kwargs):
            raise ValueError(
                f"The optimizer must take parameter groups, found {self.args.optim!r}, which brings its own and would "
                "drop the layer-wise learning rates. Pass optim='adamw_torch', or another that takes groups."
            )
        groups = self.parameter_groups(trained)
        self.made_groups = group_record(groups)
        if self.is_world_process_zero():
            logger.info("Layer-wise learning rates:\n%s", format_groups(groups))
        given = self.optimizer_cls_and_kwargs
        try:  # by `Trainer`, which knows more of some optimizers
            self.optimizer_cls_and_kwargs = optimizer_class, {**kwargs, "params": groups}
            return super().create_optimizer(model)
        finally:
            self.optimizer_cls_and_kwargs = given

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """As [`Trainer.create_scheduler`]; one that follows the evaluations goes the way of their metric."""
        with replaced(self.args, lr_scheduler_kwargs=scheduler_kwargs(self.args)):
            return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """As [`Trainer.compute_loss`], remembering each task's loss for the logs.

        Raises:
            FloatingPointError: A loss is not finite; see [`FiniteLosses`].
        """
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            seen = outputs["losses"], outputs["logits"], inputs["labels"]
            self._finite.add(*seen, self._row_ids, self.state.global_step)
            self._losses.add(outputs["losses"])
            copies = self.accelerator.num_processes // self.get_tp_size()
            loss = self._gradients.weigh(loss, outputs["losses"], copies)
            loss = loss if loss.requires_grad else loss.detach().requires_grad_()  # nothing that it depends on learns
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def _task_losses(self, micro_batch: Any, counts: Any) -> Mapping[str, Tensor]:
        """The tasks' losses of a micro-batch, as in training."""
        inputs = self._prepare_inputs(micro_batch)
        outputs: Any = super().compute_loss(self.model_wrapped, inputs, True, counts)[1]
        losses: Mapping[str, Tensor] = outputs["losses"]
        return losses

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As [`Trainer.log`]; the logs of training steps also hold `loss/<task>` and `lr/<group>`."""
        if "loss" in logs:
            logs |= {f"loss/{name}": loss for name, loss in self._losses.means(self._sum_over_processes).items()}
            logs |= {f"lr/{name}": rate for name, rate in self._group_rates.items()} | self._gradients.logs()
        super().log(logs, start_time)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """As [`Trainer._maybe_log_save_evaluate`], of finite losses only."""
        if self.control.should_log or self.control.should_evaluate or self.control.should_save:
            self._finite.check()
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The micro-batches of one effective batch and, per task that has any, its labelled rows over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = self._labelled_rows(batches, device)
        learned = {task.name for task in self.model.config.tasks if task.loss_weight}
        self._empty.begin_batch(learned.isdisjoint(counts), self.state.global_step)
        if not self._empty.is_empty:
            self._losses.begin_batch(counts)
            self._gradients.begin_batch(counts, batches, self.state.global_step + 1)
        return batches, counts

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """As [`Trainer.training_step`]; an effective batch without a label for a task with a loss changes nothing."""
        if self._empty.is_empty:
            return torch.zeros((), device=self.args.device)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """As [`Trainer._clip_grad_norm`], where there are gradients."""
        return torch.zeros(()) if self._empty.is_empty else super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """As [`Trainer._get_grad_norm`], where there are gradients."""
        return torch.zeros(()) if self._empty.is_empty else super()._get_grad_norm(model, grad_norm)

    def _labelled_rows(self, batches: list[Any], device: torch.device) -> dict[str, Tensor]:
        """Per task that has any, the targets of `batches` in all processes, which so agree on the heads used."""
        tasks = self._trained_tasks()
        counts_T = count_batch_targets(tasks, batches)  # on the host, where the batches still are
        if self.args.world_size > 1:
            counts_T = self._sum_over_processes(counts_T.to(device))
        return {task.name: counts_T[i] for i, (task, n) in enumerate(zip(tasks, counts_T.tolist(), strict=True)) if n}

    def _trained_tasks(self) -> list[Task]:
        """The model's tasks that have not been stopped."""
        stopped = self._stopping.stopped if self._stopping else ()
        return [task for task in self.model.config.tasks if task.name not in stopped]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """As [`Trainer._save_optimizer_and_scheduler`], and what else a resumed run needs."""
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_groups(output_dir, self.made_groups)
            save_progress(output_dir, self._order, self._stopping, self._gradients)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """As [`Trainer._load_optimizer_and_scheduler`], and what else a resumed run needs."""
        check_groups(checkpoint, self.made_groups)
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_progress(checkpoint, self._order, self._stopping, self._gradients)

    def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `get_batch_samples` counts, per task and for training only; `Trainer` would count one tensor."""

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        reduced: Tensor = self.accelerator.reduce(values, "sum") if self.args.world_size > 1 else values
        return reduced

    def _get_learning_rate(self) -> float:
        """As [`Trainer._get_learning_rate`], remembering every group's rate at the step just made."""
        optimizer: Any = self.optimizer
        self._group_rates = {group["name"]: group["lr"] for group in optimizer.param_groups if "name" in group}
        rate: float = super()._get_learning_rate()
        return rate
