"""The model as the first module of a `SentenceTransformer`; the only file here that needs sentence-transformers."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoModel, AutoTokenizer

from .backbone import limit_to_positions
from .reading import tokenize

try:  # transformers lets no checkpoint be opened whose files import what is not installed, unless they only try to
    from sentence_transformers.base.modules import InputModule
except ImportError:  # before sentence-transformers 6
    from sentence_transformers.models import InputModule


class MultiTaskTransformer(InputModule):  # type: ignore[misc]
    """From texts to the sentence embedding of a [`MultiTaskModel`]; its heads are kept, and not used here.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.auto_model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        backend: str = "torch",
        **_: Any,
    ) -> "MultiTaskTransformer":
        """The module in a folder, or a repository of the Hub; the arguments are those of `Module.load`.

        `tokenizer_kwargs` is the name of `processor_kwargs` before sentence-transformers 6.

        Raises:
            ValueError: Another `backend` than torch is to run it.
        """
        if backend != "torch":
            raise ValueError(
                f"A multi-task model's backend in a SentenceTransformer must be 'torch', found {backend!r}. Export it "
                "(python -m hf_multitask export FOLDER OUTPUT), and open that by OnnxMultiTask.from_pretrained(OUTPUT)."
            )
        where = {
            "subfolder": subfolder,
            "token": token,
            "cache_dir": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
            "trust_remote_code": trust_remote_code,
        }
        model = AutoModel.from_pretrained(model_name_or_path, **where | (config_kwargs or {}) | (model_kwargs or {}))
        reading = processor_kwargs or tokenizer_kwargs or {}
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path, config=model.config, **where | reading)
        limit_to_positions(tokenizer, model.backbone)
        return cls(model, tokenizer)

    def preprocess(self, inputs: Sequence[str], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Token ids of the texts, each behind the prompt."""
        return dict(tokenize(self.tokenizer, [[(prompt or "") + text for text in inputs]], "pt"))

    def tokenize(self, texts: list[str], **kwargs: Any) -> dict[str, Any]:
        """As [`preprocess`]; its name before sentence-transformers 6."""
        return self.preprocess(texts, **kwargs)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """`features` with the `sentence_embedding` (B, D) and the `token_embeddings` (B, L, D) it was pooled from."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        output: Any = self.auto_model(**{name: features[name] for name in names if name in features})
        found = {"sentence_embedding": output.sentence_embedding, "token_embeddings": output.last_hidden_state}
        return features | found

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Save the whole model, heads too, into a folder."""
        self.auto_model.save_pretrained(output_path)
        self.tokenizer.save_pretrained(output_path)

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are read."""
        limit: int = self.tokenizer.model_max_length
        return limit

    @max_seq_length.setter
    def max_seq_length(self, limit: int) -> None:
        self.tokenizer.model_max_length = limit

    def get_embedding_dimension(self) -> int:
        """Size of the embedding."""
        size: int = self.auto_model.config.hidden_size
        return size

    get_sentence_embedding_dimension = get_embedding_dimension
    """Its older name."""
