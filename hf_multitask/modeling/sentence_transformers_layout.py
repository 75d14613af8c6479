"""What a sentence-transformers checkpoint says of itself beside its encoder, and how this model says the same."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from .reading import UNLIMITED

logger = logging.getLogger(__name__)

OURS = "sentence_transformer_multitask.MultiTaskTransformer"
"""The class by which sentence-transformers reads this model."""

POOLING_NAMES = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "lasttoken": "last",
    "mean_sqrt_len_tokens": None,
    "weightedmean": None,
}
"""Their word for a pooling -> ours, `None` where there is no such pooling here."""

ENCODER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where it says how texts are read; the first in every newer checkpoint."""

OLD_FLAGS = {f"pooling_mode_{name if 'mean_sqrt' in name else name + '_tokens'}": name for name in POOLING_NAMES}
OLD_FLAGS |= {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "lasttoken"}
"""Their old flags, one for each pooling -> their word."""


@dataclass(frozen=True)
class Layout:
    """How an encoder's tokens become an embedding; the defaults are those of an encoder by itself.

    Args:
        subfolder: Where the encoder is in its checkpoint.
        pooling: A name in `POOLINGS`.
        normalize: Whether embeddings are scaled to length 1.
        prompts: By name, what is put before a text.
        default_prompt_name: The prompt that is used where none is named.
        max_length: Tokens of a text that are read, `None` for all that the encoder can.
    """

    subfolder: str = ""
    pooling: str = "mean"
    normalize: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    max_length: int | None = None

    def for_config(self) -> dict[str, Any]:
        """What of it a [`MultiTaskConfig`] says."""
        keys = ("pooling", "normalize", "prompts", "default_prompt_name")
        return {key: getattr(self, key) for key in keys}


def read_layout(name_or_path: str, pooling: str | None = None, **hub_kwargs: Any) -> Layout:
    """The layout of a checkpoint, `Layout()` where it says nothing of one.

    Args:
        name_or_path: Hub id or local folder.
        pooling: A pooling to take in place of the checkpoint's.
        **hub_kwargs: `revision`, `token`, `cache_dir`, ... as `from_pretrained` takes them.

    Raises:
        ValueError: Its embeddings are made in a way that this model has not, and no `pooling` was named.
    """
    modules = _read(name_or_path, "modules.json", **hub_kwargs)
    if modules is None or any(module["type"] == OURS for module in modules):
        return Layout(pooling=pooling or "mean")
    paths = {_kind(module["type"]): module["path"] for module in modules}
    others = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
    subfolder = paths.get("Transformer", "")
    folder = f"{subfolder}/" if subfolder else ""
    reading = _read(name_or_path, *(folder + file for file in ENCODER_FILES), **hub_kwargs) or {}
    if reading.get("do_lower_case"):
        others.append("lower case")
    pooling_files = [f"{paths['Pooling']}/config.json"] if "Pooling" in paths else []
    theirs, found = _pooling(_read(name_or_path, *pooling_files, **hub_kwargs) or {})
    if pooling is None and (others or found is None):
        raise ValueError(
            f"The embeddings of {name_or_path!r} must be made by one pooling of {list(POOLING_NAMES)[:4]} and maybe a "
            f"normalisation, found {', '.join([theirs, *others])}. Name one to use in its place: pooling='mean'."
        )
    if pooling is not None and (others or found != pooling):
        logger.info("%s has the pooling %s, used is %s", name_or_path, ", ".join([theirs, *others]), pooling)
    tokenizing = _read(name_or_path, f"{folder}tokenizer_config.json", **hub_kwargs) or {}
    max_length = reading.get("max_seq_length") or tokenizing.get("model_max_length", UNLIMITED)
    prompting = _read(name_or_path, "config_sentence_transformers.json", **hub_kwargs) or {}
    return Layout(
        subfolder=subfolder,
        pooling=str(pooling or found),
        normalize="Normalize" in paths,
        prompts=prompting.get("prompts") or {},
        default_prompt_name=prompting.get("default_prompt_name"),
        max_length=max_length if max_length < UNLIMITED else None,
    )


def write_layout(config: Any, folder: Path) -> None:
    """Write what `SentenceTransformer(folder, trust_remote_code=True)` opens a checkpoint of this model by."""
    modules = [("", OURS)]
    if config.normalize:
        modules.append(("1_Normalize", "sentence_transformers.models.Normalize"))
    entries = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    prompting = {
        "model_type": "SentenceTransformer",
        "prompts": config.prompts,
        "default_prompt_name": config.default_prompt_name,
        "similarity_fn_name": "cosine",
    }
    for name, values in (("modules.json", entries), ("config_sentence_transformers.json", prompting)):
        (folder / name).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _kind(module: str) -> str:
    """The class of one of their own modules; of somebody else's, with its place."""
    return module.rpartition(".")[2] if module.startswith("sentence_transformers.") else module


def _pooling(config: dict[str, Any]) -> tuple[str, str | None]:
    """Their words for the pooling, and ours where there is one."""
    modes = config.get("pooling_mode") or [name for flag, name in OLD_FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if config.get("include_prompt") is False:
        return f"{'+'.join(modes)} without the prompt's tokens", None
    return "+".join(modes), POOLING_NAMES.get(modes[0]) if len(modes) == 1 else None


def _read(name_or_path: str, *files: str, **hub_kwargs: Any) -> Any:
    """The content of the first of these json files that a checkpoint has, `None` where it has none."""
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("gated_repo", "missing_entries", "connection_errors")}
    for file in files:
        path = cached_file(name_or_path, file, **hub_kwargs, **quiet)
        if path is not None:
            return json.loads(Path(path).read_text(encoding="utf-8"))
    return None
