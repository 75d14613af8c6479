"""From texts to their embeddings, in numpy."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.utils import logging

from .batching import in_batches, in_windows
from .decoding import unit_vectors
from .notices import Notices
from .reading import Reading, Row, pad, token_rows
from .texts import check_no_table


def prompt_of(config: Any, prompt_name: str | None) -> str:
    """The prompt to put before each text: the named one, else the configuration's default, else none.

    Raises:
        ValueError: The configuration has no prompt of this name.
    """
    name = config.default_prompt_name if prompt_name is None else prompt_name
    if name is None:
        return ""
    if name not in config.prompts:
        raise ValueError(f"prompt_name must be one of {list(config.prompts)}, found {name!r}. Choose one of these.")
    prompt: str = config.prompts[name]
    return prompt


def encode(
    embed: Callable[[Any], NDArray[np.float32]],
    tokenizer: Any,
    config: Any,
    texts: Iterable[str],
    *,
    tensors: str,
    batch_size: int,
    normalize: bool | None,
    show_progress_bar: bool,
    truncate_dim: int | None,
    prompt: str,
) -> NDArray[np.float32]:
    """The embeddings of texts, (N, D) float32.

    As in `SentenceTransformer.encode`, the model's own scaling to length 1 comes before a cut, an asked one behind it.

    Args:
        embed: From a tokenised batch to its embeddings, (B, D), whatever computes them.
        tokenizer: The checkpoint's.
        config: Says `normalize` and `hidden_size`.
        texts: The texts.
        tensors: What `embed` takes: "pt" or "np".
        batch_size: Texts of a batch; texts of similar length are read together.
        normalize: Whether to scale embeddings to length 1; `None` for as the configuration says.
        show_progress_bar: Whether to show one.
        truncate_dim: Keep so many of the D numbers; `None` for all.
        prompt: What to put before each text.

    Raises:
        ValueError: One of `texts` is no string, or they are a mapping or a table.
    """
    check_no_table(texts)
    if isinstance(texts, Mapping):  # iterated over, it would be the names of its columns
        raise ValueError(
            f"Texts must be a list of strings, found a mapping with {list(texts)}. Pass one of its columns."
        )
    texts = list(texts)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"A text to embed must be a string, found {wrong[0]!r}. Pass a string or a list of strings.")
    notices = Notices()

    def tokens_of(window: list[str]) -> list[Row]:
        rows, cut = token_rows(tokenizer, [prompt + text for text in window])
        notices.add(Reading([(text,) for text in window], cut=cut))
        return rows

    def embed_rows(batch: list[Row]) -> list[NDArray[np.float32]]:
        return list(embed(pad(tokenizer, batch, tensors)))

    rows: list[NDArray[np.float32]] = []
    try:
        with logging.tqdm(total=len(texts), desc="Embedding", unit="text", disable=not show_progress_bar) as bar:
            for window in in_windows(texts, batch_size):
                # Tokens of a window are made at once: that is faster, and by their number batches have less padding.
                rows += in_batches(tokens_of(window), embed_rows, batch_size, lambda row: (1, len(row["input_ids"])))
                bar.update(len(window))
    finally:
        notices.tell(tokenizer.model_max_length)
    vectors = np.stack(rows) if rows else np.zeros((0, config.hidden_size), np.float32)
    if normalize is None and config.normalize:
        vectors = unit_vectors(vectors)
    vectors = vectors[:, :truncate_dim]
    return unit_vectors(vectors) if normalize else vectors
