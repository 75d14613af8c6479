"""What the model returns.

Letters of the shapes: B texts, L tokens (padding included), D hidden size, C outputs of a task.
"""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils.generic import ModelOutput


@dataclass
class MultiTaskOutput(ModelOutput):
    """What a `MultiTaskModel` returns.

    Args:
        loss: Weighted sum of `losses`, 0-d float32; 0 without a graph where no row is labelled. With `labels` only.
        last_hidden_state: (B, L, D), the token embeddings of the (first) texts, from which theirs is pooled; of padding
            they mean nothing. Without `labels` only, and then the first value, as of any encoder of `AutoModel`.
        logits: Per task, (B, C), or (B, L, C) of a token classification: scores before the softmax or sigmoid, for a
            regression values in the user's units, for a similarity cosines (NaN where a text has no partner).
        losses: Per task with targets, its mean loss, 0-d float32, without its weight. With `labels` only.
        sentence_embedding: (B, D).
        hidden_states: The backbone's, each (B, L, D), when asked for.
        attentions: The backbone's, each (B, heads, L, L), when asked for.
    """

    loss: Tensor | None = None
    last_hidden_state: Tensor | None = None
    logits: dict[str, Tensor] | None = None
    losses: dict[str, Tensor] | None = None
    sentence_embedding: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
