"""What lies beside the weights, so that others open a checkpoint: `pipeline`, `SentenceTransformer`, onnxruntime."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.dynamic_module_utils import custom_object_save

from .pipeline_multitask import MultiTaskPipeline
from .sentence_transformers_layout import write_layout

if TYPE_CHECKING:  # not to be run here, but to be seen by what copies the files that a file imports
    from .onnx_multitask import OnnxMultiTask
    from .sentence_transformer_multitask import MultiTaskTransformer

    __all__ = ["MultiTaskTransformer", "OnnxMultiTask"]


ALONE = ("onnx_graph.py", "onnx_multitask.py", "sentence_transformer_multitask.py")
"""Files that nothing here imports, each for who has the package that it needs."""


def save_companions(model: Any, folder: Path) -> None:
    """Write the pipeline's code, the files of sentence-transformers and, where the model has one, the tokenizer."""
    custom_object_save(MultiTaskPipeline, folder)
    for name in ALONE:
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
    write_layout(model.config, folder)
    model.save_tokenizer(folder)
