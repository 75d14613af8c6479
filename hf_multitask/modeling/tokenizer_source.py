"""Where a model's tokenizer comes from."""

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

    def load(self) -> Any:
        """The tokenizer; raises as [`load_tokenizer`] where there is none."""
        config = {} if self.config is None else {"config": self.config}
        tokenizer = load_tokenizer(self.name_or_path, **self.hub_kwargs, **config)
        if self.max_length is not None:
            tokenizer.model_max_length = min(self.max_length, tokenizer.model_max_length)
        return tokenizer

    def is_part_of(self, folder: Path) -> bool:
        """Whether the tokenizer in `folder` has all tokens of this one, by the same ids; or one cannot be read."""
        if Path(self.name_or_path) == folder:
            return True
        try:
            known = self.load().get_vocab()
            found = load_tokenizer(str(folder), trust_remote_code=False).get_vocab()
        except Exception:  # whatever files of others, or of another time, hold: this is but a hint
            return True
        return bool(known.items() <= found.items())
