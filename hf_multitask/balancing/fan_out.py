"""The place between the encoder and the heads where the tasks' gradients meet.

Letters of the shapes: T tasks, N texts or tokens, D hidden size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..modeling.encoder import Encoded
from ..modeling.task import Task

Combine = Callable[[Sequence[str], Tensor], Tensor | None]
"""From the names of the T tasks that have a gradient and their virtual gradients (T, D, D) to the factor of each task's
gradient (T,), or `None` to leave all as they are."""


class FanOut:
    r"""Gives each head its own view of the embeddings, and combines the heads' gradients before the encoder's backward.

    What the encoder learns from is $\sum_t c_t\, \partial L_t / \partial z$, with the factors $c$ that `combine`
    returns, computed once a backward pass; so that this pass through the encoder is the ordinary one, and only one,
    however many tasks there are. The gradients of the heads are those of the plain sum.

    `combine` sees each task's gradient with respect to a virtual layer $A$, at $A = I$, through which every text (or
    token, of tasks that label tokens) would pass, $z' = A z$:

    $$ M_t = \frac{\partial L_t}{\partial A} = \sum_n \frac{\partial L_t}{\partial z_n} z_n^\top, \qquad
       \langle M_a, M_b \rangle = \sum_{n, m} \langle g_{an}, g_{bm} \rangle \langle z_n, z_m \rangle. $$

    It is a gradient of parameters that all tasks share, so tasks with labels on different rows are comparable, which
    they are not by $\langle g_{an}, g_{bn} \rangle$; and it adds up over micro-batches and processes. It stands for the
    gradient of all the encoder's parameters, as one layer of it would: no more.

    Set it as a [`MultiTaskModel`]'s `fan_out`.

    Args:
        tasks: The model's tasks.
        combine: Is told the tasks' names, in the model's order, and $M$ in float32; weights of the loss are in it.
    """

    def __init__(self, tasks: Sequence[Task], combine: Combine) -> None:
        self.tasks = list(tasks)
        self.combine = combine

    def __call__(self, encoded: Encoded) -> Mapping[str, Tensor]:
        """Per task, the view of the token or sentence embeddings that its head reads."""
        tasks = [task for task in self.tasks if not task.reads_tokens or encoded.hidden is not None]
        views = _views(self.combine, tasks, encoded.embedding, encoded.hidden)
        return dict(zip((task.name for task in tasks), views, strict=True))


class _Views(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, combine: Combine, tasks: Sequence[Task], embedding: Tensor, hidden: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # a task without a label here has no gradient
        ctx.combine, ctx.tasks = combine, tasks
        ctx.save_for_backward(embedding, hidden)
        sources = [hidden if task.reads_tokens else embedding for task in tasks]
        return tuple(source.view_as(source) for source in sources if source is not None)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        embedding, hidden = ctx.saved_tensors
        found = [(task, g) for task, g in zip(ctx.tasks, gradients, strict=True) if g is not None]
        if not found:
            return None, None, None, None
        virtual = [virtual_gradient(g, hidden if task.reads_tokens else embedding) for task, g in found]
        factors = ctx.combine([task.name for task, _ in found], torch.stack(virtual))
        totals: dict[bool, Tensor] = {}
        for index, (task, g) in enumerate(found):
            part = g if factors is None else g * factors[index].to(g.dtype)
            totals[task.reads_tokens] = totals[task.reads_tokens] + part if task.reads_tokens in totals else part
        return None, None, totals.get(False), totals.get(True)


_views: Any = torch.compiler.disable(_Views.apply)


def virtual_gradient(gradient: Tensor, embedding: Tensor) -> Tensor:
    """The gradient of a virtual layer, (D, D) float32, from those of the embeddings and the embeddings, (..., D)."""
    rows = gradient.flatten(0, -2).float(), embedding.flatten(0, -2).float()
    with torch.autocast(gradient.device.type, enabled=False):  # of a backward pass inside the user's
        return rows[0].T @ rows[1]


def gramian(virtual_TDD: Tensor) -> Tensor:
    """The inner products of the tasks' gradients, (T, T)."""
    flat = virtual_TDD.flatten(1)
    return flat @ flat.T
