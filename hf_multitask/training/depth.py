"""How deep in a backbone each of its parameters sits, read from the module tree and never from digits in names."""

import sys
from collections.abc import Iterator

from torch import nn

TOP = sys.maxsize
"""Depth of what reads the last layer, in `DEPTH_OVERRIDES`: cut to L + 1."""

DEPTH_OVERRIDES: dict[str, dict[str, int]] = {
    # DeBERTa-v2 normalises its relative embeddings with a module, and runs a convolution beside its first layer, that
    # are both registered after the stack.
    "deberta-v2": {"encoder.LayerNorm": 0, "encoder.conv": 1},
    # OPT registers its final norm before the stack.
    "opt": {"decoder.final_layer_norm": TOP},
}
"""Per `model_type`, the modules whose place in the module tree tells a wrong depth."""

ABOVE_THE_STACK = ("pooler", "contact_head")
"""Modules that read the last layer wherever they are registered."""

BELOW_THE_STACK = ("layernorm_embedding",)
"""Modules that the first layer reads wherever they are registered (in BART, after the stack)."""


def num_layers(backbone: nn.Module) -> int:
    """Number L of encoder layers with parameters of their own (1 where all layers share them, as in ALBERT)."""
    return len(set(_layer_indices(backbone).values()))


def parameter_depths(backbone: nn.Module) -> dict[int, int]:
    """Depth of every parameter of `backbone` by its `id`: 0 for embeddings, i + 1 for layer i, L + 1 above the layers.

    By `id`, because wrappers such as DDP, `torch.compile`, PEFT and FSDP change names, not parameters.

    The layers are the outermost `nn.ModuleList`s with parameters whose flattened length is `config.num_hidden_layers`,
    or the longest where none is (shared layers). Lists of one parent run in parallel (XLM keeps attentions, norms and
    feed-forwards apart); lists of different parents follow each other. What lies outside the lists belongs, in this
    order, where `DEPTH_OVERRIDES` says; above the layers if it is a pooler; with the embeddings if the class of its
    module is called an embedding (a name tells less: LFM2's final norm is its `embedding_norm`) or it is registered
    before the first layer; above the layers otherwise.
    """
    layer_of = _layer_indices(backbone)
    count = len(set(layer_of.values()))
    overrides = DEPTH_OVERRIDES.get(getattr(getattr(backbone, "config", None), "model_type", ""), {})
    depths: dict[int, int] = {}
    seen_a_layer = False
    for path, module in backbone.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in depths:
                continue
            full_name = f"{_unwrapped(path)}.{name}".lstrip(".")
            components = set(full_name.split("."))
            embeds = "embedding" in type(module).__name__.lower() or components.intersection(BELOW_THE_STACK)
            if id(parameter) in layer_of:
                seen_a_layer = True
                depths[id(parameter)] = layer_of[id(parameter)] + 1
            elif forced := [depth for prefix, depth in overrides.items() if full_name.startswith(prefix + ".")]:
                depths[id(parameter)] = min(forced[0], count + 1)
            elif components.intersection(ABOVE_THE_STACK):
                depths[id(parameter)] = count + 1
            elif embeds or not seen_a_layer:
                depths[id(parameter)] = 0
            else:
                depths[id(parameter)] = count + 1
    return depths


def _layer_indices(backbone: nn.Module) -> dict[int, int]:
    """Index of the layer each parameter inside the stack belongs to, by the parameter's `id`."""
    stacks = list(_outermost_lists(backbone, ""))
    expected = getattr(getattr(backbone, "config", None), "num_hidden_layers", None)
    matching = [stack for stack in stacks if len(stack[1]) == expected]
    if not matching and stacks:
        matching = [max(stacks, key=lambda stack: len(stack[1]))]
    indices: dict[int, int] = {}
    offset_of_parent: dict[str, int] = {}
    end = 0
    for parent, layers in matching:
        offset = offset_of_parent.setdefault(parent, end)
        for index, layer in enumerate(layers):
            for parameter in layer.parameters():
                indices.setdefault(id(parameter), offset + index)
        end = max(end, offset + len(layers))
    return indices


def _outermost_lists(module: nn.Module, path: str) -> Iterator[tuple[str, list[nn.Module]]]:
    """Parent path and flattened items of each `nn.ModuleList` with parameters that lies in no other."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList) and any(True for _ in child.parameters()):
            yield path, _flattened(child)
        else:
            yield from _outermost_lists(child, f"{path}.{name}")


def _flattened(items: nn.ModuleList) -> list[nn.Module]:
    flat: list[nn.Module] = []
    for item in items:
        flat.extend(_flattened(item) if isinstance(item, nn.ModuleList) else [item])
    return flat


def _unwrapped(path: str) -> str:
    """`path` without the components that FSDP, activation checkpointing and `torch.compile` insert."""
    inserted = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "module")
    return ".".join(part for part in path.split(".") if part not in inserted)
