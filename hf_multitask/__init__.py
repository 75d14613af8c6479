"""One text encoder, many tasks, in the Hugging Face ecosystem."""

from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel

from .modeling.configuration_multitask import MultiTaskConfig
from .modeling.modeling_multitask import MultiTaskModel
from .modeling.outputs import MultiTaskOutput
from .modeling.task import Head, Task

if TYPE_CHECKING:
    from .backbones import resolve_backbone
    from .data.collation import MultiTaskCollator
    from .data.tokenization import tokenize
    from .evaluation.metrics import MultiTaskMetrics
    from .modeling.onnx_multitask import OnnxMultiTask
    from .modeling.pipeline_multitask import MultiTaskPipeline
    from .scoring import MultiTaskScorer
    from .training.arguments import MultiTaskTrainingArguments
    from .training.freezing import GradualUnfreezing, freeze
    from .training.layerwise import layerwise_parameter_groups
    from .training.trainer import MultiTaskTrainer
    from .transfer.groups import group_tasks
    from .transfer.report import compare_single_task

__all__ = [
    "GradualUnfreezing",
    "Head",
    "MultiTaskCollator",
    "MultiTaskConfig",
    "MultiTaskMetrics",
    "MultiTaskModel",
    "MultiTaskOutput",
    "MultiTaskPipeline",
    "MultiTaskScorer",
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "OnnxMultiTask",
    "Task",
    "compare_single_task",
    "freeze",
    "group_tasks",
    "layerwise_parameter_groups",
    "resolve_backbone",
    "tokenize",
]

# Loaded when first asked for: who only opens a checkpoint does not wait for datasets, evaluate and scikit-learn, and
# needs no onnxruntime.
_LAZY = {
    "GradualUnfreezing": "training.freezing",
    "MultiTaskCollator": "data.collation",
    "MultiTaskMetrics": "evaluation.metrics",
    "MultiTaskPipeline": "modeling.pipeline_multitask",
    "MultiTaskScorer": "scoring",
    "MultiTaskTrainer": "training.trainer",
    "MultiTaskTrainingArguments": "training.arguments",
    "OnnxMultiTask": "modeling.onnx_multitask",
    "compare_single_task": "transfer.report",
    "freeze": "training.freezing",
    "group_tasks": "transfer.groups",
    "layerwise_parameter_groups": "training.layerwise",
    "resolve_backbone": "backbones",
    "tokenize": "data.tokenization",
}

AutoConfig.register(MultiTaskConfig.model_type, MultiTaskConfig)
AutoModel.register(MultiTaskConfig, MultiTaskModel)
# Without these two calls a save made through the registered classes would write `auto_map` but no code.
MultiTaskConfig.register_for_auto_class()
MultiTaskModel.register_for_auto_class("AutoModel")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
