"""What reads the embeddings: one head per task.

Letters of the shapes: N texts or tokens, D hidden size, C outputs of a task.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .constants import constant
from .task import Task


def build_head(task: Task, hidden_size: int) -> nn.Module:
    """The layers from an embedding (N, `hidden_size`) to the task's logits (N, `task.num_labels`).

    One linear layer unless the task asks for hidden ones. The logits of an ordinal task are log-probabilities, those of
    a regression are in the user's units.
    """
    layers: list[nn.Module] = []
    size = hidden_size
    for next_size in task.head.hidden:
        layers += [*_dropout(task), nn.Linear(size, next_size), nn.GELU()]
        size = next_size
    ordinal = task.problem_type == "ordinal"
    layers += [*_dropout(task), nn.Linear(size, task.num_labels - ordinal)]
    if ordinal:
        layers.append(ContinuationRatio())
    if task.target_mean is not None or task.target_std is not None:
        layers.append(Units(*units(task)))
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _dropout(task: Task) -> list[nn.Module]:
    return [nn.Dropout(task.head.dropout)] if task.head.dropout else []


def units(task: Task) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per value of a regression, what 0 and what 1 standard deviation of the head mean in the user's units."""
    return task.target_mean or (0.0,) * task.num_labels, task.target_std or (1.0,) * task.num_labels


class Units(nn.Module):
    r"""Standardised values as values in the user's units, $y = \mu + \sigma z$, in float32. No parameters.

    Args:
        mean: Per value, $\mu$.
        std: Per value, $\sigma$.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.mean, self.std = mean, std  # numbers, not buffers: a model built on the meta device would lose them

    def forward(self, z_NC: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        z_NC = z_NC.float()
        return z_NC * constant(self.std, z_NC) + constant(self.mean, z_NC)


class ContinuationRatio(nn.Module):
    r"""Log-probabilities of C ordered classes from C - 1 scores, in float32. No parameters.

    Score $z_k$ tells how likely a text is of a class above k, given that it is of class k or above:

    $$ \log p(y = k) = \log \sigma(-z_k) + \sum_{j < k} \log \sigma(z_j). $$

    The cross-entropy of these is the loss of CORN (Shi, Cao and Raschka 2021) but for its scale: CORN divides by the
    number of the comparisons, this by that of the texts. The probabilities of "above k" fall with k for any scores.
    """

    def forward(self, z_NK: Tensor) -> Tensor:
        """(N, C - 1) -> (N, C)."""
        z_NK = z_NK.float()
        # Not by `logsigmoid`: in a graph that is the logarithm of a sigmoid, far below 0 coarse and soon infinite.
        above_NK = -F.softplus(-z_NK).cumsum(dim=-1)
        reached_NC = F.pad(above_NK, (1, 0))
        stays_NC = F.pad(-F.softplus(z_NK), (0, 1))  # the last class stays for certain
        return reached_NC + stays_NC


def cosine_logits(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """Cosine of each pair of embeddings, (N, 1), in float32."""
    return torch.cosine_similarity(first_ND.float(), second_ND.float(), dim=-1)[:, None]
