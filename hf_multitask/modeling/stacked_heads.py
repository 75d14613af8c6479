"""Several linear heads as one.

Letters of the shapes: B texts, D hidden size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def stacked_logits(heads: Mapping[str, nn.Linear], embedding_BD: Tensor) -> dict[str, Tensor]:
    """Per head its logits, all by one matrix product, whose cost is that of one head up to many outputs.

    They are those of each head to within rounding. A loss of any of them gives all heads a gradient, of zeros where it
    does not depend on them: stack those alone that are in the loss.
    """
    weight = torch.cat([head.weight for head in heads.values()])
    bias = torch.cat([head.bias for head in heads.values()])
    logits = F.linear(embedding_BD, weight, bias).split([head.out_features for head in heads.values()], dim=1)
    return dict(zip(heads, logits, strict=True))


def can_be_stacked(head: nn.Module) -> bool:
    """Whether the head is one linear layer and nothing else happens in it.

    Hooks of a user, an adapter around it, and a weight that is no plain tensor, as a quantised or sharded one, are
    left to the head itself.
    """
    is_linear = type(head) is nn.Linear and head.bias is not None and type(head.weight) is nn.Parameter
    return is_linear and "forward" not in vars(head) and not has_hooks(head)


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody looks into the module's passes."""
    found = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(found)
