"""A checkpoint as its user opens it: by this package's own classes, so that no code of the checkpoint runs."""

from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from .backbones import check_folder
from .modeling.configuration_multitask import MultiTaskConfig
from .modeling.modeling_multitask import MultiTaskModel
from .modeling.pipeline_multitask import MultiTaskPipeline

READ_FILES = ("config.json", "*.safetensors", "tokenizer*")
"""What the answers of a checkpoint in a folder depend on."""


def read_config(name_or_path: str) -> MultiTaskConfig:
    """The configuration of a checkpoint, without its weights.

    Args:
        name_or_path: A local folder or an id on the Hub.

    Raises:
        ValueError: It is no checkpoint of a multi-task model, or holds adapters alone.
        OSError: There is none, or it cannot be read.
    """
    check_folder(name_or_path)
    folder = Path(name_or_path)
    if (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"A checkpoint must hold a whole model, found adapters alone in {folder}. Train with lora.merge: true, or "
            "put them on the encoder as the card says and save model.merge_and_unload()."
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ValueError(
            f"A checkpoint must have a config.json, found none in {folder}. Name the folder that training wrote."
        )
    values, _ = PretrainedConfig.get_config_dict(name_or_path)
    if values.get("model_type") != MultiTaskConfig.model_type:
        raise ValueError(
            f"The model_type of a checkpoint must be {MultiTaskConfig.model_type!r}, found "
            f"{values.get('model_type')!r} in {name_or_path}. Name a folder that training wrote, or its Hub id."
        )
    config: MultiTaskConfig = MultiTaskConfig.from_pretrained(name_or_path)
    return config


def open_pipeline(name_or_path: str, device: Any = None, performance: str = "exact") -> MultiTaskPipeline:
    """The pipeline of a checkpoint, on `device`, by default the accelerator where there is one.

    Raises:
        ValueError: See [`read_config`]; or there is no tokenizer.
        OSError: There is no such checkpoint.
    """
    read_config(name_or_path)
    model = MultiTaskModel.from_pretrained(name_or_path)
    return MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device=device, performance=performance)


def fingerprint(name_or_path: str, config: MultiTaskConfig) -> dict[str, Any]:
    """What tells a checkpoint from another or a later one: the commit on the Hub, or size and time of its files."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        return {"id": name_or_path, "commit": config._commit_hash}
    files = {path.name: path.stat() for pattern in READ_FILES for path in folder.glob(pattern)}
    return {name: [found.st_size, found.st_mtime_ns] for name, found in sorted(files.items())}
