"""What lies beside the weights, so that a checkpoint opens in every way: as a pipeline, as a SentenceTransformer."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.dynamic_module_utils import custom_object_save

from .pipeline_multitask import MultiTaskPipeline
from .sentence_transformers_layout import write_layout

if TYPE_CHECKING:  # not to be run here, but to be seen by what copies the files that a file imports
    from .sentence_transformer_multitask import MultiTaskTransformer

    __all__ = ["MultiTaskTransformer"]


def save_companions(model: Any, folder: Path) -> None:
    """Write the pipeline's code, the files of sentence-transformers and, where the model has one, the tokenizer."""
    custom_object_save(MultiTaskPipeline, folder)
    shutil.copyfile(
        Path(__file__).with_name("sentence_transformer_multitask.py"), folder / "sentence_transformer_multitask.py"
    )
    write_layout(model.config, folder)
    model.save_tokenizer(folder)
