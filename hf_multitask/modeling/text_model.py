"""A model and what it needs to be used for texts: its tokenizer, and a checkpoint that opens in every way."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PretrainedConfig

from .backbone import freeze_unused_modules, limit_to_positions, num_positions
from .companions import save_companions
from .embedding import encode, prompt_of
from .hub import HubModel
from .inference import compute_device, serving
from .known_parts import KnownParts
from .saved_folder import check_no_other_code, put_adapters_aside, warn_of_exports
from .tokenizer_source import HUB_KEYS, TokenizerSource

logger = logging.getLogger(__name__)


class TextModel(KnownParts, HubModel):
    """A model that knows its tokenizer, embeds texts, and saves beside itself all by which others open it."""

    backbone: Any

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self._tokenizer: Any = None
        self.tokenizer_source: TokenizerSource | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As [`PreTrainedModel.from_pretrained`], remembering where the tokenizer is.

        What no output depends on stays frozen, as in a new model.
        """
        hub_kwargs = {key: kwargs[key] for key in HUB_KEYS if key in kwargs}
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # a tuple with `output_loading_info=True`
        freeze_unused_modules(model.backbone)
        if pretrained_model_name_or_path is not None:
            name = str(pretrained_model_name_or_path)
            model.tokenizer_source = TokenizerSource(name, hub_kwargs, model.config, num_positions(model.backbone))
            model.config.name_or_path = model.tokenizer_source.name_or_path
        return loaded

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 32,
        normalize: bool | None = None,
        show_progress_bar: bool = False,
        truncate_dim: int | None = None,
        prompt_name: str | None = None,
        performance: str = "exact",
    ) -> NDArray[np.float32]:
        """The sentence embeddings of texts, (N, D) float32, or (D,) of a single string.

        Those of `SentenceTransformer(folder, trust_remote_code=True).encode(...)` on the same checkpoint.

        Args:
            texts: The texts.
            batch_size: Texts of a batch; texts of similar length are read together.
            normalize: Whether to scale embeddings to length 1; by default as the configuration says.
            show_progress_bar: Whether to show one.
            truncate_dim: Keep so many of the D numbers; for encoders trained for it (Kusupati et al. 2022).
            prompt_name: The prompt, of the configuration's, to put before each text; by default its default one.
            performance: `exact` computes as fast as float32 allows, `auto` in bfloat16 where the processor has it (a
                cosine of about 0.9999 to the exact embedding), `off` as torch does by default.

        Raises:
            ValueError: There is no such prompt, a text is no string, or the model knows no tokenizer.
        """
        with serving(self, performance):  # around all batches: weights are cast to bfloat16 once
            vectors = encode(
                self._embed,
                self.tokenizer,
                self.config,
                [texts] if isinstance(texts, str) else texts,
                tensors="pt",
                batch_size=batch_size,
                normalize=normalize,
                show_progress_bar=show_progress_bar,
                truncate_dim=truncate_dim,
                prompt=prompt_of(self.config, prompt_name),
            )
        return vectors[0] if isinstance(texts, str) else vectors

    def _embed(self, encoded: Any) -> NDArray[np.float32]:
        """The embeddings of a tokenised batch, (B, D)."""
        vectors: NDArray[np.float32] = self(**encoded.to(compute_device(self))).sentence_embedding.float().cpu().numpy()
        return vectors

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that [`encode`] reads texts with, and that is saved beside the model.

        It is loaded when first asked for, from where the model came from.

        Raises:
            ValueError: The model was not loaded from anywhere, or there is no tokenizer there.
        """
        if self._tokenizer is None:
            if self.tokenizer_source is None:
                raise ValueError(
                    "The model must know its tokenizer, found none: it was built in code. Set model.tokenizer = "
                    "AutoTokenizer.from_pretrained(...)."
                )
            self._tokenizer = self.tokenizer_source.load()
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        """Take a tokenizer, which from now on reads no more of a text than the encoder has positions for."""
        if tokenizer is not None:
            limit_to_positions(tokenizer, self.backbone)
        self._tokenizer = tokenizer

    def save_tokenizer(self, folder: Path) -> None:
        """Save the tokenizer, if it can be had; one that nobody asked for leaves another that is there alone.

        A warning tells where that reads texts otherwise than this one, as an older model's in the same folder.
        """
        if self._tokenizer is None and (folder / "tokenizer_config.json").exists():
            if self.tokenizer_source is not None and (other := self.tokenizer_source.differences(folder)):
                logger.warning(
                    "The tokenizer in %s must read texts as this model's does, found another %s, as of another model. "
                    "It was left as it is. If it is not this model's, remove it and save again",
                    folder,
                    ", ".join(other),
                )
            return
        try:
            tokenizer = self.tokenizer
        except ValueError as error:  # weights without a tokenizer are better than none
            level = logging.INFO if self.tokenizer_source is None else logging.WARNING
            logger.log(level, "No tokenizer is saved in %s: %s", folder, error)
            return
        tokenizer.save_pretrained(folder)

    def save_pretrained(self, save_directory: Any, is_main_process: bool = True, *args: Any, **kwargs: Any) -> None:
        """As [`PreTrainedModel.save_pretrained`], with all that every way to open the checkpoint needs beside it.

        The weights keep this model's own names: the default renames those of some backbones (nomic_bert, gte,
        jina_embeddings_v3) to the names of their first release, which the Trainer then cannot resume from.

        Adapters that lie there are moved aside, and a graph that was exported to there is warned about.

        Raises:
            ValueError: Other weights than the model's own are to be pushed, or code of somebody else would be replaced.
        """
        kwargs.setdefault("save_original_format", False)
        push = kwargs.pop("push_to_hub", False)
        alone = [key for key in ("state_dict", "variant") if kwargs.get(key) is not None]
        if push and alone:
            raise ValueError(
                f"push_to_hub=True must stand without {' and '.join(alone)}: the model's own weights are pushed. Save "
                "them, and upload the folder: hf upload REPO FOLDER."
            )
        if is_main_process:
            check_no_other_code(Path(save_directory), self.config.model_type)
            warn_of_exports(Path(save_directory))
            put_adapters_aside(Path(save_directory))
        super().save_pretrained(save_directory, is_main_process, *args, **kwargs)
        if not is_main_process:
            return
        save_companions(self, Path(save_directory))
        if push:  # from there the upload would begin before all is saved
            keys = ("commit_message", "private", "token", "create_pr", "revision", "max_shard_size", "tags")
            options = {key: kwargs[key] for key in keys if key in kwargs}
            self.push_to_hub(kwargs.get("repo_id", Path(save_directory).name), **options)
