"""Settings of a training run."""

import math
import os
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames, ParallelMode

from ..balancing.methods import METHODS
from ..modeling.performance import choose
from .process_group import join_on_cpus, launched_processes
from .refused_arguments import check_none_refused, refuse
from .threads import use_all_cores

OPTIMIZERS_WITH_OWN_GROUPS = ("galore", "apollo", "lomo", "adalomo")
"""First words of the `optim` names that arrange the parameters by themselves."""

PACKING = ("auto", "on", "off")
"""Whether batches are read without padding."""


@dataclass
class MultiTaskTrainingArguments(TrainingArguments):
    """Hugging Face's training arguments, with layer-wise learning rates and without what would be silently wrong here.

    Args:
        learning_rate: Base rate: that of the encoder's last layer.
        head_learning_rate: Rate of the task heads and of learned parameters of the loss.
        layer_decay: Factor from the rate of each encoder layer to that of the layer below, in (0, 1].
        embeddings_lr_scale: Factor from the base rate to the embeddings' rate, at least 0.
        freeze: What is not trained: `embeddings`, `layers.3`, `layers.0-3`, `top`, `backbone`, `heads`, `heads.<task>`.
        gradual_unfreezing_steps: Start with the heads alone and unfreeze one more layer from the top every so many
            steps.
        early_stopping_patience: Stop after so many evaluations without a better `metric_for_best_model`, which is
            `average` by default then, or `loss` with a `compute_metrics` of one's own; the best checkpoint is loaded in
            the end.
        task_patience: Take a task out of the loss after so many evaluations without a better primary metric, and give
            its head the weights of its best evaluation.
        performance: `exact` computes as fast as float32 allows on this processor, and draws the masks of dropout as
            fast as may be; `auto` in bfloat16 too where the processor has it (and TF32 on CUDA), and compiles long runs
            on a GPU; `off` as torch does by default. See [`choose`] and [`Compilation`].
        packing: Whether the encoder reads batches without their padding, which computes the same: `auto` where it can,
            `on` or else an error, `off`.
        max_tokens_per_batch: Tokens of a micro-batch, at most, in place of `per_device_train_batch_size`, which is then
            not read. Padding is not counted. All effective batches have equally many tokens; see [`BatchOrder`].
        balancing: How the tasks' losses, or gradients, are combined: `sum`, or one of `METHODS`. `uncertainty`, `dwa`
            and `famo` weigh the losses; `gradnorm`, `pcgrad`, `mgda`, `cagrad`, `upgrad`, `nashmtl` and `imtl_g` the
            gradients behind the encoder, see [`FanOut`]. Most of these need the extra `balancing`.
        conflict_steps: Log the cosines of the tasks' gradients every so many steps, as `conflict/<a>|<b>`.
        conflict_by_depth: Log them for parts of the encoder too, of the first micro-batch of such a step.

    Raises:
        ValueError: An argument cannot be right for a multi-task model; the message says what to do instead.
    """

    learning_rate: float = field(default=1e-5, metadata={"help": "Base rate: that of the encoder's last layer."})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "Rate of everything outside the encoder."})
    layer_decay: float = field(
        default=0.95, metadata={"help": "Factor from a layer's rate to that of the layer below."}
    )
    embeddings_lr_scale: float = field(default=0.1, metadata={"help": "The embeddings' rate over the base rate."})
    freeze: list[str] | None = field(
        default=None, metadata={"help": "Groups not to train, such as embeddings layers.0-3 heads.topic."}
    )
    gradual_unfreezing_steps: int | None = field(
        default=None, metadata={"help": "Unfreeze one more layer from the top every so many steps."}
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many evaluations without an improvement."}
    )
    task_patience: int | None = field(
        default=None, metadata={"help": "Stop a task after so many evaluations without an improvement of its own."}
    )
    performance: str = field(
        default="exact",
        metadata={"help": "exact: as fast as float32 allows; auto: bf16 and compiling too where they pay; off."},
    )
    packing: str = field(
        default="auto", metadata={"help": "Whether batches are read without padding: auto, on or off."}
    )
    max_tokens_per_batch: int | None = field(
        default=None, metadata={"help": "Tokens of a micro-batch, in place of per_device_train_batch_size rows."}
    )
    balancing: str = field(
        default="sum", metadata={"help": f"How the tasks' losses or gradients are combined: {', '.join(METHODS)}."}
    )
    conflict_steps: int | None = field(
        default=None, metadata={"help": "Log the cosines of the tasks' gradients every so many steps."}
    )
    conflict_by_depth: bool = field(
        default=False, metadata={"help": "Log them for parts of the encoder too, of the first micro-batch."}
    )
    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={"help": "Would make the host wait at every step: a loss that is not finite ends the run."},
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Must stay false: the rows' `targets` are no argument of `forward`."}
    )

    def __post_init__(self) -> None:
        if self.ddp_find_unused_parameters is None:
            # A task without a labelled row in a batch uses no head there. transformers' own default is False with
            # activation checkpointing, which would fail at the step after such a batch.
            self.ddp_find_unused_parameters = True
        freeze: Any = self.freeze
        self.freeze = [freeze] if isinstance(freeze, str) else freeze
        if self.early_stopping_patience:
            self.load_best_model_at_end = True
            self.restore_callback_states_from_checkpoint = True  # how long it has waited
        self.knows_metric = self.metric_for_best_model is not None
        if self.load_best_model_at_end and not self.knows_metric:
            self.metric_for_best_model = "average"
        self.knows_direction = self.greater_is_better is not None
        if launched_processes() > 1 and not torch.accelerator.is_available():
            self.use_cpu = True  # else Accelerate would not join them
        self._choose_performance()
        if self.use_cpu and self.ddp_backend in (None, "gloo"):
            join_on_cpus(self.ddp_timeout)
        super().__post_init__()
        if self.device.type == "cpu":
            self.dataloader_pin_memory = False  # there is nothing to pin for, and torch warns at every epoch
        self._check_numbers()
        self._check_arguments()

    def __getstate__(self) -> dict[str, Any]:
        """The arguments without the token: `Trainer` pickles them into folders that it uploads."""
        return self.__dict__ | {"hub_token": None}

    def _choose_performance(self) -> None:
        """Before the precision is read: bfloat16 may be chosen here."""
        has_accelerator = torch.accelerator.is_available() and not self.use_cpu
        accelerator = torch.accelerator.current_accelerator() if has_accelerator else None
        device_type = "cpu" if accelerator is None else accelerator.type
        use_all_cores(device_type)  # first, so that what is measured is what will be used
        self.choices = choose(self.performance, device_type, training=not self.torch_compile)
        if self.tf32 is False:
            self.choices = self.choices._replace(tf32=False)
        if self.choices.bf16 and not self.bf16 and not self.fp16:
            self.bf16 = True
            self.use_cpu |= device_type == "cpu"  # else transformers looks for bfloat16 on a GPU
        if self.packing not in PACKING:
            raise ValueError(f"packing must be one of {list(PACKING)}, found {self.packing!r}. Choose one of these.")

    def _check_numbers(self) -> None:
        for name in ("learning_rate", "head_learning_rate", "embeddings_lr_scale"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a finite number >= 0, found {value}. Pass {name}=1e-5, for instance.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(
                f"layer_decay must be in (0, 1], found {self.layer_decay}. Pass 1.0 for one rate in all layers."
            )
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, found {getattr(self, name)}. Pass {name}=8, for instance."
                )
        steps = ("gradual_unfreezing_steps", "conflict_steps", "max_tokens_per_batch")
        for name in (*steps, "early_stopping_patience", "task_patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}. Leave it out for none.")

    def _check_arguments(self) -> None:
        if self.balancing not in METHODS:
            raise ValueError(
                f"balancing must be one of {list(METHODS)}, found {self.balancing!r}. Choose one of these."
            )
        if self.conflict_by_depth and self.conflict_steps is None:
            raise ValueError(
                "conflict_by_depth needs conflict_steps, found none: nothing would be measured. Pass "
                "conflict_steps=200."
            )
        check_none_refused(self)
        if self.device.type == "cpu" and (self.fsdp or os.environ.get("ACCELERATE_USE_FSDP") == "true"):
            refuse("fsdp", True, False, "Accelerate shards no parameters on CPU, and would say nothing")
        optim = OptimizerNames(self.optim).value
        if optim.split("_")[0] in OPTIMIZERS_WITH_OWN_GROUPS:
            refuse("optim", optim, "adamw_torch", "it arranges parameters by itself and would drop their rates")
        if launched_processes() > self.world_size:
            raise ValueError(
                f"Processes that are started together must be joined, found {launched_processes()} that Accelerate "
                f"does not join on the device {self.device.type}: each would do all the work, and write to the same "
                "folder. Pass use_cpu=True, or start one process."
            )
        if self.parallel_mode == ParallelMode.NOT_DISTRIBUTED and self.n_gpu > 1:
            raise ValueError(
                f"Several GPUs must be used by one process each, found one process with {self.n_gpu} GPUs "
                "(DataParallel). "
                "Start with `accelerate launch`, or make one GPU visible by CUDA_VISIBLE_DEVICES=0."
            )
        if self.deepspeed and self.hf_deepspeed_config.get_value("optimizer") is not None:
            raise ValueError(
                "The DeepSpeed configuration must not have an 'optimizer', found one: it would drop the layer-wise "
                "learning "
                "rates. Remove the entry; the Trainer's own optimizer is used."
            )

    @property
    def is_alone(self) -> bool:
        """Whether one process trains on one device, and nothing wraps the model."""
        is_sharded = self.fsdp or self.deepspeed or os.environ.get("ACCELERATE_USE_FSDP") == "true"
        return self.parallel_mode == ParallelMode.NOT_PARALLEL and not is_sharded
