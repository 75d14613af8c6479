"""The Trainer: Hugging Face's, with exact multi-task losses and layer-wise learning rates."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.dynamic_module_utils import custom_object_save
from transformers.trainer_optimizer import is_optimizer_factory
from transformers.trainer_utils import EvalLoopOutput

from ..data.collation import MultiTaskCollator
from ..evaluation.metrics import MultiTaskMetrics, evaluation_losses
from ..modeling.configuration_multitask import Task
from ..modeling.losses import count_labels, total_loss
from ..modeling.modeling_multitask import freeze_unused_modules
from .arguments import MultiTaskTrainingArguments
from .freezing import GradualUnfreezing, freeze
from .layerwise import find_backbone, format_groups, layerwise_parameter_groups, named_groups
from .loss_log import TaskLossLog

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
                "compute_loss_func. Pass model=MultiTaskModel.from_backbone(...), and weights in the tasks' "
                "loss_weight."
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
        freeze_unused_modules(find_backbone(self.model))  # adapters may have been put there
        if args.freeze:
            freeze(self.model, args.freeze)
        elif not any(parameter.requires_grad for parameter in named_groups(self.model).get("heads", [])):
            logger.warning(
                "No task head is trainable. With peft, name them: modules_to_save=%s",
                [f"heads.{t.name}" for t in tasks],
            )
        if args.gradual_unfreezing_steps:
            self.add_callback(GradualUnfreezing(args.gradual_unfreezing_steps))
        self._tasks = [task.name for task in tasks]
        self._losses = TaskLossLog(args.device)
        self._group_rates: dict[str, float] = {}

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer.train`].

        Raises:
            ValueError: The model's tasks are not those it had when the Trainer was made.
        """
        tasks = [task.name for task in self.model.config.tasks]
        if tasks != self._tasks:
            raise ValueError(
                f"The model's tasks must be those it had when the Trainer was made, {self._tasks}, found {tasks}. "
                "Make a new MultiTaskTrainer after add_task or remove_task."
            )
        self._losses.clear()
        return super().train(*args, **kwargs)

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
            self._losses.add(outputs["losses"])
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As [`Trainer.log`]; the logs of training steps also hold `loss/<task>` and `lr/<group>`."""
        if "loss" in logs:
            logs |= {f"loss/{name}": loss for name, loss in self._losses.means(self._sum_over_processes).items()}
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
        """The micro-batches of one effective batch and, per task that has any, its labelled rows over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = self._labelled_rows(batches, device)
        if self._has_loss(counts):
            self._losses.begin_batch(counts)
        return batches, counts

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """As [`Trainer.training_step`]; an effective batch without a label for a task with a loss changes nothing."""
        if self._has_loss(num_items_in_batch):
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        logger.warning("Step %d: no row has a label for a task with a loss; nothing is learned", self.state.global_step)
        return torch.zeros((), device=self.args.device)

    def _labelled_rows(self, batches: list[Any], device: torch.device) -> dict[str, Tensor]:
        """Per task that has any, the labelled rows of `batches` in all processes, which so agree on the heads used."""
        tasks: list[Task] = self.model.config.tasks
        counts_T = torch.zeros(len(tasks), dtype=torch.int64, device=device)
        for labels in (batch.get("labels", {}) for batch in batches):
            for index, task in enumerate(tasks):
                if task.name in labels:
                    counts_T[index] += count_labels(labels[task.name])
        counts_T = self._sum_over_processes(counts_T)
        return {task.name: counts_T[i] for i, (task, n) in enumerate(zip(tasks, counts_T.tolist(), strict=True)) if n}

    def _has_loss(self, counts: Mapping[str, Tensor]) -> bool:
        """Whether one of the tasks counted has a weight in the loss."""
        return any(self.model.config.task(name).loss_weight for name in counts)

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

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As [`Trainer._load_from_checkpoint`].

        Raises:
            ValueError: The checkpoint's tasks, labels or pooling are others: its heads would answer other questions.
        """
        if (Path(resume_from_checkpoint) / "config.json").is_file():
            config = type(self.model.config).from_pretrained(resume_from_checkpoint)
            saved, wanted = (
                (c.pooling, [(task.name, task.labels) for task in c.tasks]) for c in (config, self.model.config)
            )
            if saved != wanted:
                raise ValueError(
                    f"A resumed run must have the pooling, tasks and labels of its checkpoint, {saved}, found "
                    f"{wanted}. Restore them in the configuration, or start a new run."
                )
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """As [`Trainer.create_model_card`], but a card that exists is kept."""
        if not (Path(self.args.output_dir or ".") / "README.md").exists():
            super().create_model_card(*args, **kwargs)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """As [`Trainer._push_from_checkpoint`], which copies no code beside the weights."""
        if self.is_world_process_zero():
            custom_object_save(self.accelerator.unwrap_model(self.model), self.args.output_dir or ".")
        super()._push_from_checkpoint(checkpoint_folder)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """As [`Trainer._save`], without the pickled arguments: they hold `hub_token`, and loading them runs code."""
        super()._save(output_dir, state_dict)
        (Path(output_dir or self.args.output_dir or ".") / "training_args.bin").unlink(missing_ok=True)
