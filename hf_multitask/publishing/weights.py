"""How many numbers of which type a checkpoint's weights are, from their headers alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from safetensors import SafetensorError, safe_open

from ..tables import format_table

BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Type of a number -> its size; that of all others is 1."""

OTHERS = "other"
"""Parameters that are neither the encoder's nor a head's."""


@dataclass(frozen=True)
class Weights:
    """What the headers of a checkpoint's weights tell.

    Args:
        parameters: Per part, `encoder` or the name of a head, its number of parameters.
        types: The types of the numbers.
        size: Bytes of all.
    """

    parameters: Mapping[str, int]
    types: Sequence[str]
    size: int

    @classmethod
    def of(cls, tensors: Mapping[str, tuple[str, int]]) -> "Weights":
        """Those of tensors: name -> type and number of parameters."""
        parameters: Counter[str] = Counter({"encoder": 0})
        for name, (_, count) in tensors.items():
            first, _, rest = name.partition(".")
            part = {"backbone": "encoder", "heads": f"head {rest.partition('.')[0]}"}.get(first, OTHERS)
            parameters[part] += count
        types = sorted({kind for kind, _ in tensors.values()})
        return cls(parameters, types, sum(BYTES.get(kind, 1) * count for kind, count in tensors.values()))


def weights_of_folder(folder: Path) -> Weights | None:
    """The weights of a checkpoint in a folder, none of which is loaded; `None` where there are none.

    Raises:
        ValueError: A file of them cannot be read.
    """
    tensors: dict[str, tuple[str, int]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors |= _headers(path)
    return Weights.of(tensors) if tensors else None


def _headers(path: Path) -> dict[str, tuple[str, int]]:
    try:
        with safe_open(path, framework="np") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return {name: (str(part.get_dtype()), math.prod(part.get_shape())) for name, part in parts.items()}
    except SafetensorError as error:
        raise ValueError(f"{path} must be readable safetensors, found: {error}. Copy it again.") from error


def weights_on_hub(repo_id: str) -> Weights:
    """The weights of a checkpoint on the Hub, of which the headers are fetched."""
    files = HfApi().get_safetensors_metadata(repo_id).files_metadata.values()
    return Weights.of(
        {name: (info.dtype, info.parameter_count) for file in files for name, info in file.tensors.items()}
    )


def weight_table(weights: Weights) -> str:
    """The parameters of each part, and the size of all."""
    total = sum(weights.parameters.values())
    rows = [[part, f"{count:,}", f"{count / total:.2%}"] for part, count in weights.parameters.items()]
    table = format_table(["parameters", "number", "share"], [*rows, ["total", f"{total:,}", ""]])
    return f"{table}\n\n{weights.size / 1e6:,.1f} MB of {', '.join(weights.types)}"
