"""Layer-wise learning rates: which parameter moves how fast. Knows modules and numbers, no task and no Trainer."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn import Parameter

from ..tables import format_table
from .depth import num_layers, parameter_depths


def find_backbone(model: nn.Module) -> nn.Module:
    """The encoder inside `model`, however wrapped: the first child called `backbone`.

    Raises:
        ValueError: There is none.
    """
    for module in model.modules():
        backbone = module._modules.get("backbone")
        if backbone is not None:
            return backbone
    raise ValueError(
        f"Layer-wise learning rates need a model with a child called 'backbone', found none in {type(model).__name__}. "
        "Pass a MultiTaskModel, wrapped or not."
    )


def named_groups(model: nn.Module) -> dict[str, list[Parameter]]:
    """All parameters of `model`, frozen ones too, each in exactly one group.

    The groups, those without parameters left out: `top` (the encoder above its last layer), `layers.{L-1}` down to
    `layers.0`, `embeddings`, `heads`, and `loss` (whatever else the model learns).

    Raises:
        ValueError: A parameter would be in two groups, or in none.
    """
    backbone = find_backbone(model)
    depths = parameter_depths(backbone)
    count = num_layers(backbone)
    names = {0: "embeddings", count + 1: "top"} | {index + 1: f"layers.{index}" for index in range(count)}
    order = [*(names[depth] for depth in range(count, 0, -1)), "top", "embeddings", "heads", "loss"]
    groups: dict[str, list[Parameter]] = {name: [] for name in order}
    for parameter in backbone.parameters():
        groups[names[depths[id(parameter)]]].append(parameter)
    in_backbone = {id(parameter) for parameter in backbone.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in in_backbone:
            groups["heads" if "heads" in name.split(".") else "loss"].append(parameter)
    check_partition(model.parameters(), groups.values())
    return {name: parameters for name, parameters in groups.items() if parameters}


def layerwise_parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float = 1e-5,
    head_learning_rate: float = 1e-4,
    layer_decay: float = 0.95,
    embeddings_lr_scale: float = 0.1,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    r"""Optimizer groups in which every trainable parameter stands exactly once.

    $$ \mathrm{lr}(\text{embeddings}) = s \cdot \mathrm{lr}, \qquad
       \mathrm{lr}(\text{layer } i) = d^{\,L-i-1} \cdot \mathrm{lr}, \qquad
       \mathrm{lr}(\text{above the last layer}) = \mathrm{lr} $$

    with L encoder layers numbered from 0 at the bottom (Howard and Ruder 2018, "discriminative fine-tuning"; the
    geometric decay is that of ELECTRA's fine-tuning). Each group is a dict with the keys `name`, `params`, `lr` and
    `weight_decay`. Where there is weight decay, a group's norms and biases form a second dict of the same name without
    it; where there is none they do not, as an optimizer starts a kernel or more for each dict. The last layer comes
    first, because `Trainer` logs the first group's rate as the learning rate.

    Args:
        model: A model with a child called `backbone`, wrapped or not.
        learning_rate: Base rate lr.
        head_learning_rate: Rate of everything outside the backbone.
        layer_decay: d, the factor from each layer to the one below.
        embeddings_lr_scale: s.
        weight_decay: Weight decay of everything but norms and biases.

    Raises:
        ValueError: No parameter is trainable, or one would be in two groups or in none.
    """
    backbone = find_backbone(model)
    count = num_layers(backbone)
    rates = {"embeddings": learning_rate * embeddings_lr_scale, "top": learning_rate}
    rates |= {f"layers.{index}": learning_rate * layer_decay ** (count - index - 1) for index in range(count)}
    undecayed = _norms_and_biases(model)
    groups: list[dict[str, Any]] = []
    for name, parameters in named_groups(model).items():
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        spared = [p for p in trainable if not weight_decay or name == "loss" or id(p) in undecayed]
        decayed = [p for p in trainable if weight_decay and name != "loss" and id(p) not in undecayed]
        for params, decay in ((decayed, weight_decay), (spared, 0.0)):
            if params:
                rate = rates.get(name, head_learning_rate)
                groups.append({"name": name, "params": params, "lr": rate, "weight_decay": decay})
    if not groups:
        raise ValueError(
            "At least one parameter must be trainable, found all frozen. Unfreeze some, the heads for instance."
        )
    check_partition((p for p in model.parameters() if p.requires_grad), (group["params"] for group in groups))
    return groups


def check_partition(parameters: Iterable[Parameter], groups: Iterable[Iterable[Parameter]]) -> None:
    """Raise unless each of `parameters` is in exactly one of `groups`, and nothing else is.

    Raises:
        ValueError: With the number and the shapes of the parameters in two groups, in none, or from elsewhere.
    """
    expected = {id(parameter): parameter for parameter in parameters}
    found = [parameter for group in groups for parameter in group]
    ids = [id(parameter) for parameter in found]
    twice = {i: p for i, p in zip(ids, found, strict=True) if ids.count(i) > 1} if len(set(ids)) < len(ids) else {}
    missing = {i: p for i, p in expected.items() if i not in set(ids)}
    foreign = {i: p for i, p in zip(ids, found, strict=True) if i not in expected}
    if twice or missing or foreign:
        shapes = [
            f"{len(wrong)} {what} (shapes {[tuple(p.shape) for p in wrong.values()]})"
            for what, wrong in (("in two groups", twice), ("in no group", missing), ("not of the model", foreign))
            if wrong
        ]
        raise ValueError(
            f"Every parameter must be in exactly one group, found {', '.join(shapes)}. "
            "Register each parameter once, inside the backbone, the heads or the loss."
        )


def format_groups(groups: list[dict[str, Any]]) -> str:
    """A table of the groups that `layerwise_parameter_groups` returns."""
    rows = [
        (
            group["name"],
            f"{sum(parameter.numel() for parameter in group['params']):,}",
            f"{group['lr']:.4g}",
            f"{group['weight_decay']:g}",
        )
        for group in groups
    ]
    return format_table(("group", "parameters", "learning rate", "weight decay"), rows)


def _norms_and_biases(model: nn.Module) -> set[int]:
    """`id`s of the parameters that weight decay should spare, by the module's type, never by the names of tasks."""
    return {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if "norm" in type(module).__name__.lower() or "bias" in name
    }
