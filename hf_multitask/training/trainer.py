"""The Trainer: Hugging Face's, with exact multi-task losses and layer-wise learning rates."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_optimizer import is_optimizer_factory
from transformers.trainer_utils import EvalLoopOutput

from ..data.collation import MultiTaskCollator
from ..evaluation.metrics import MultiTaskMetrics, evaluation_losses
from ..modeling.configuration_multitask import Task
from ..modeling.losses import count_labels, total_loss
from .arguments import MultiTaskTrainingArguments
from .freezing import GradualUnfreezing, freeze
from .layerwise import format_groups, layerwise_parameter_groups

logger = logging.getLogger(__name__)


class MultiTaskTrainer(Trainer):
    """Trains a [`MultiTaskModel`].

    - Every task's loss is its mean over the labelled rows of the *whole effective batch*: all micro-batches of an
      accumulation and all processes together. The gradients are those of one big batch.
    - A task without a labelled row there is left alone by the optimizer.
    - The optimizer's groups are those of [`layerwise_parameter_groups`].
    - The logs hold each task's loss (`loss/<task>`) and each group's learning rate (`lr/<group>`).
    - Evaluation losses are exact means over the split's labelled rows, not means of batch means.

    Args:
        model: The model to train.
        args: The training arguments.
        processing_class: The tokenizer; needed unless `data_collator` is given.
        data_collator: By default a [`MultiTaskCollator`] for the model's tasks.
        compute_metrics: By default [`MultiTaskMetrics`] for the model's tasks.
        **kwargs: Passed to [`Trainer`].
    """

    args: MultiTaskTrainingArguments
    model: Any

    def __init__(
        self,
        model: Any = None,
        args: MultiTaskTrainingArguments | None = None,
        *,
        processing_class: Any = None,
        data_collator: Any = None,
        compute_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(args, MultiTaskTrainingArguments):
            raise ValueError(
                f"args must be MultiTaskTrainingArguments, found {type(args).__name__}. "
                "Pass MultiTaskTrainingArguments(output_dir=...)."
            )
        if model is None or kwargs.get("compute_loss_func") is not None:
            raise ValueError(
                "MultiTaskTrainer needs a model and computes its losses itself, found model=None or a "
                "compute_loss_func. "
                "Pass model=MultiTaskModel.from_backbone(...), and weights in the tasks' loss_weight."
            )
        tasks = model.config.tasks
        super().__init__(
            model,
            args,
            data_collator=data_collator or MultiTaskCollator(processing_class, [task.name for task in tasks]),
            processing_class=processing_class,
            compute_metrics=compute_metrics or MultiTaskMetrics(tasks),
            **kwargs,
        )
        if args.freeze:
            freeze(self.model, args.freeze)
        if args.gradual_unfreezing_steps:
            self.add_callback(GradualUnfreezing(args.gradual_unfreezing_steps))
        self._task_losses: dict[str, Tensor] = {}
        self._task_steps: dict[str, int] = {}
        self._group_rates: dict[str, float] = {}

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
        if self.is_world_process_zero():
            logger.info("Layer-wise learning rates:\n%s", format_groups(groups))
        optimizer: torch.optim.Optimizer = optimizer_class(groups, **kwargs)
        self.optimizer = optimizer
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """As [`Trainer.compute_loss`], remembering each task's loss for the logs."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            for name, task_loss in outputs["losses"].items():
                self._task_losses[name] = self._task_losses.get(name, 0.0) + task_loss.detach()
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As [`Trainer.log`]; the logs of training steps also hold `loss/<task>` and `lr/<group>`."""
        if "loss" in logs and self._task_steps:
            logs |= self._mean_task_losses()
            logs |= {f"lr/{name}": rate for name, rate in self._group_rates.items()}
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As [`Trainer.evaluation_loop`], with exact losses in place of means of batch means."""
        output: EvalLoopOutput = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        predictions: Any = output.predictions
        label_ids: Any = output.label_ids
        if isinstance(predictions, Mapping) and isinstance(label_ids, Mapping):
            tasks = self.model.config.tasks
            losses = evaluation_losses(tasks, predictions, label_ids)
            exact = {f"{prefix}_{name}_loss": loss.item() for name, loss in losses.items()}
            total = total_loss(tasks, losses)
            if total is not None:
                exact[f"{prefix}_loss"] = total.item()
            return output._replace(metrics=(output.metrics or {}) | exact)
        return output

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The micro-batches of one effective batch and, per task that has any, its labelled rows over all processes.

        Raises:
            ValueError: No row of the effective batch is labelled for a task with a loss.
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches:
            return batches, None
        tasks: list[Task] = self.model.config.tasks
        counts_T = torch.zeros(len(tasks), dtype=torch.int64, device=device)
        for labels in (batch.get("labels", {}) for batch in batches):
            for index, task in enumerate(tasks):
                if task.name in labels:
                    counts_T[index] += count_labels(labels[task.name])
        if self.args.world_size > 1:
            counts_T = self.accelerator.reduce(counts_T, "sum")
        labelled = [task.name for task, count in zip(tasks, counts_T.tolist(), strict=True) if count]
        if not any(self.model.config.task(name).loss_weight for name in labelled):
            raise ValueError(
                "Every training batch must have a label for a task with a loss, found none for "
                f"{[t.name for t in tasks]} at step {self.state.global_step}. Remove the rows that have no target."
            )
        for name in labelled:
            self._task_steps[name] = self._task_steps.get(name, 0) + 1
        return batches, {task.name: counts_T[i] for i, task in enumerate(tasks) if task.name in labelled}

    def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `get_batch_samples` counts, per task and for training only; `Trainer` would count one tensor."""

    def _mean_task_losses(self) -> dict[str, float]:
        """Per task, the mean of its losses over the effective batches since the last call that had labels for it."""
        names = sorted(self._task_steps)
        nothing = torch.zeros((), device=self.args.device)
        sums_T = torch.stack([self._task_losses.get(name, nothing) for name in names])
        if self.args.world_size > 1:  # each process holds the part of its own rows
            sums_T = self.accelerator.reduce(sums_T, "sum")
        means = {
            f"loss/{name}": loss / self._task_steps[name] for name, loss in zip(names, sums_T.tolist(), strict=True)
        }
        self._task_losses, self._task_steps = {}, {}
        return means

    def _get_learning_rate(self) -> float:
        """As [`Trainer._get_learning_rate`], remembering every group's rate at the step just made."""
        optimizer: Any = self.optimizer
        self._group_rates = {group["name"]: group["lr"] for group in optimizer.param_groups if "name" in group}
        rate: float = super()._get_learning_rate()
        return rate

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """As [`Trainer._save`], without the pickled arguments: they hold `hub_token`, and loading them runs code."""
        super()._save(output_dir, state_dict)
        (Path(output_dir or self.args.output_dir or ".") / "training_args.bin").unlink(missing_ok=True)
