"""What is in the way in a folder that a model is saved to."""

import json
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
"""Files of LoRA, which transformers puts on whatever weights lie beside them."""

ASIDE = "adapters"
"""Where they are moved to."""

EXPORT = "onnx_export.json"
"""Lies beside a graph that was made of a model."""


def check_no_other_code(folder: Path, model_type: str) -> None:
    """Raise where code of somebody else has the names of the model's own, which are written beside its weights.

    Args:
        folder: Where a model is to be saved; a file of its code may be there from an earlier save.
        model_type: By which a folder of such a model is known.

    Raises:
        ValueError: Saving would replace files of somebody else.
    """
    if _model_type(folder) == model_type:
        return
    code = [path for path in Path(__file__).parent.glob("*.py") if path.name != "__init__.py"]
    taken = [folder / path.name for path in code if (folder / path.name).is_file()]
    others = sorted(
        path.name for path in taken if path.read_bytes() != Path(__file__).with_name(path.name).read_bytes()
    )
    if others:
        raise ValueError(
            f"A folder to save a model in must have no other code under the names of the model's own, found {others} "
            f"in {folder}, which would be replaced. Choose another folder."
        )


def put_adapters_aside(folder: Path) -> None:
    """Move adapters, which a model that is loaded from there would get, to `adapters/`; a warning says so."""
    if not (folder / ADAPTERS[0]).is_file():
        return
    aside, number = folder / ASIDE, 1
    while aside.exists():
        number += 1
        aside = folder / f"{ASIDE}-{number}"
    aside.mkdir()
    for name in ADAPTERS:
        if (folder / name).is_file():
            (folder / name).rename(aside / name)
    logger.warning(
        "A whole model must be saved without adapters beside it, which would be put on its weights, found some in %s. "
        "They were moved to %s",
        folder,
        aside,
    )


def warn_of_exports(folder: Path) -> None:
    """Warn where a graph lies in the folder, or below, that was made of the model that is replaced there."""
    for path in sorted([*folder.glob(EXPORT), *folder.glob(f"*/{EXPORT}")]):
        logger.warning("The ONNX graph in %s is of the model before. Export it anew, or remove it", path.parent)


def _model_type(folder: Path) -> str | None:
    """What the configuration in a folder says; `None` where there is none."""
    try:
        found: str | None = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
    return found
