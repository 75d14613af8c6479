"""From texts to token ids, truncated, never padded."""

from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_tokenizer(name_or_path: str, **kwargs: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a backbone; one without a padding token pads with its end-of-text token, which the mask hides.

    Args:
        name_or_path: Hub id or local folder.
        **kwargs: Passed to `AutoTokenizer.from_pretrained`.

    Raises:
        ValueError: There is no tokenizer.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name_or_path, **kwargs)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The backbone must be a model with a tokenizer, found none at {name_or_path!r}: {error} Correct backbone."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenize(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """`dataset` with token ids and their `length` in place of its texts, each row cut to `max_length` tokens.

    Args:
        dataset: Rows with `text`, maybe `text_pair` (the longer of both is cut first), and anything else.
        tokenizer: The backbone's.
        max_length: In tokens, special tokens included.

    Raises:
        ValueError: A row is longer than the backbone can read, and `max_length` does not cut it.
    """
    columns = [name for name in ("text", "text_pair") if name in dataset.column_names]

    def encode(batch: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = dict(tokenizer(*(batch[name] for name in columns), truncation=True, max_length=max_length))
        lengths = [len(ids) for ids in encoded["input_ids"]]
        if max(lengths) > tokenizer.model_max_length:
            raise ValueError(
                f"max_length must be at most the {tokenizer.model_max_length} tokens of the backbone, found "
                f"{max_length} and a text of {max(lengths)} tokens. Lower max_length."
            )
        return encoded | {"length": lengths}  # for train_sampling_strategy=group_by_length

    return dataset.map(encode, batched=True, remove_columns=columns, desc="Tokenising")
