"""One text encoder, many tasks, in the Hugging Face ecosystem."""

from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel

from .modeling.configuration_multitask import MultiTaskConfig
from .modeling.modeling_multitask import MultiTaskModel
from .modeling.outputs import MultiTaskOutput
from .modeling.task import Head, Task

if TYPE_CHECKING:
    from .data.collation import MultiTaskCollator
    from .evaluation.metrics import MultiTaskMetrics
    from .modeling.onnx_multitask import OnnxMultiTask
    from .scoring import MultiTaskScorer
    from .training.arguments import MultiTaskTrainingArguments
    from .training.freezing import GradualUnfreezing, freeze
    from .training.layerwise import layerwise_parameter_groups
    from .training.trainer import MultiTaskTrainer

__all__ = [
    "GradualUnfreezing",
    "Head",
    "MultiTaskCollator",
    "MultiTaskConfig",
    "MultiTaskMetrics",
    "MultiTaskModel",
    "MultiTaskOutput",
    "MultiTaskScorer",
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "OnnxMultiTask",
    "Task",
    "freeze",
    "layerwise_parameter_groups",
]

# Loaded when first asked for: who only opens a checkpoint does not wait for datasets, evaluate and scikit-learn, and
# needs no onnxruntime.
_LAZY = {
    "GradualUnfreezing": "training.freezing",
    "MultiTaskCollator": "data.collation",
    "MultiTaskMetrics": "evaluation.metrics",
    "MultiTaskScorer": "scoring",
    "MultiTaskTrainer": "training.trainer",
    "MultiTaskTrainingArguments": "training.arguments",
    "OnnxMultiTask": "modeling.onnx_multitask",
    "freeze": "training.freezing",
    "layerwise_parameter_groups": "training.layerwise",
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
