"""Where a model's tokenizer comes from."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig

HUB_KEYS = ("revision", "subfolder", "token", "cache_dir", "local_files_only")
"""Arguments of `from_pretrained` that say where to look."""


def load_tokenizer(name_or_path: str, **kwargs: Any) -> Any:
    """The tokenizer of a model; one without a padding token pads with its end-of-text token, which the mask hides.

    Args:
        name_or_path: Hub id or local folder.
        **kwargs: Passed to `AutoTokenizer.from_pretrained`.

    Raises:
        ValueError: There is no tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, **kwargs)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(
            f"There must be a tokenizer beside a model's weights, found none at {name_or_path!r}: {error} "
            "Save it there."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@dataclass(frozen=True)
class TokenizerSource:
    """Where a model's tokenizer comes from: where its weights did.

    Args:
        name_or_path: Hub id or local folder.
        hub_kwargs: Further arguments that say where to look.
        config: The checkpoint's configuration, which needs not be read again, nor its code be trusted again.
        max_length: Tokens of a text to read at most.
    """

    name_or_path: str
    hub_kwargs: dict[str, Any] = field(repr=False)  # may hold a token
    config: PretrainedConfig | None = field(default=None, repr=False)
    max_length: int | None = None

    def __post_init__(self) -> None:
        if os.path.isdir(self.name_or_path):  # found, and no repository of the Hub, from another working directory too
            object.__setattr__(self, "name_or_path", os.path.abspath(self.name_or_path))

    def load(self) -> Any:
        """The tokenizer; raises as [`load_tokenizer`] where there is none."""
        config = {} if self.config is None else {"config": self.config}
        tokenizer = load_tokenizer(self.name_or_path, **self.hub_kwargs, **config)
        if self.max_length is not None:
            tokenizer.model_max_length = min(self.max_length, tokenizer.model_max_length)
        return tokenizer

    def differences(self, folder: Path) -> list[str]:
        """In what the tokenizer in `folder` differs, but for tokens more; nothing where it cannot be read."""
        if Path(self.name_or_path) == folder.absolute():
            return []
        try:
            known, found = self.load(), load_tokenizer(str(folder), trust_remote_code=False)
            vocabularies = known.get_vocab().items(), found.get_vocab().items()
            ways = _ways(known), _ways(found)
        except Exception:  # whatever files of others, or of another time, hold: this is but a hint
            return []
        return [
            *(["vocabulary"] if not vocabularies[0] <= vocabularies[1] else []),
            *(["length"] if known.model_max_length != found.model_max_length else []),
            *(f"{part.replace('_', ' ')}" for part, way in ways[0].items() if way != ways[1].get(part, way)),
        ]


def _ways(tokenizer: Any) -> dict[str, Any]:
    """How a fast tokenizer makes tokens of a text, beside its vocabulary."""
    if not tokenizer.is_fast:
        return {}
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    return {part: parts[part] for part in ("normalizer", "pre_tokenizer")}
