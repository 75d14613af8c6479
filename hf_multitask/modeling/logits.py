"""From what the encoder made of a batch to the logits of every task.

Letters of the shapes: B texts, E first and second texts, L tokens, D hidden size, C outputs of a task.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from .encoder import Encoded
from .pairs import pair_logits
from .stacked_heads import can_be_stacked, stacked_logits
from .task import Task


def task_logits(
    tasks: Iterable[Task],
    heads: nn.ModuleDict,
    encoded: Encoded,
    num_texts: int,
    pair_rows: Tensor | None,
    views: Mapping[str, Tensor],
    learned: Collection[str],
) -> dict[str, Tensor]:
    """Per task, (B, C), or (B, L, C) of a token classification; without tokens, of those alone that read the embedding.

    Args:
        tasks: The model's tasks.
        heads: Per task that has one, its head.
        encoded: What the encoder made of the texts.
        num_texts: B; what is behind them are second texts.
        pair_rows: The first text of each second text.
        views: Per task that is to read another tensor than all, that tensor.
        learned: Tasks that are in the loss, and have no view. Their heads are stacked where they can be.
    """
    tasks = list(tasks)
    first_BD, second_SD = encoded.embedding[:num_texts], encoded.embedding[num_texts:]
    alike = [task.name for task in tasks if task.name in learned and task.has_head and not task.reads_tokens]
    linear: Any = {name: heads[name] for name in alike if can_be_stacked(heads[name])}
    stacked = stacked_logits(linear, first_BD) if len(linear) > 1 else {}
    logits = {}
    for task in tasks:
        if task.name in stacked:
            logits[task.name] = stacked[task.name]
        elif task.reads_tokens:
            if encoded.hidden is not None:
                tokens_BLD = views.get(task.name, encoded.hidden)
                logits[task.name] = heads[task.name](tokens_BLD.to(encoded.embedding.dtype))
        elif task.has_head:
            logits[task.name] = heads[task.name](views[task.name][:num_texts] if task.name in views else first_BD)
        elif encoded.hidden is not None:
            view_ED = views.get(task.name)
            pair = (first_BD, second_SD) if view_ED is None else (view_ED[:num_texts], view_ED[num_texts:])
            logits[task.name] = pair_logits(*pair, pair_rows)
    return logits
