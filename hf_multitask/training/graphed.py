"""An encoder whose passes over packed batches are recorded as CUDA graphs, by their number of tokens."""

import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from ..modeling.packing import Packing
from .recording import Recording, Replayed, Turn

logger = logging.getLogger(__name__)

MOST = 12
"""Recordings that are kept: each has the memory of its hidden states, all together that of one pass."""

KNOWN = {"input_ids", "token_type_ids", "position_ids", "attention_mask", "packing", "return_dict", "use_cache"}
"""What a pass may be given so that it is replayed."""


class Size(NamedTuple):
    """What passes have in common that one recording serves.

    Args:
        tokens: Tokens of the texts, rounded up.
        texts: Of how many texts at most.
        longest: At least the tokens of the longest.
        dtype: In which autocast computes.
        names: Of the inputs.
        learning: Which parameters learn, and where they lie.
    """

    tokens: int
    texts: int
    longest: int
    dtype: torch.dtype
    names: tuple[str, ...]
    learning: tuple[int, ...]


class GraphedBackbone:
    """The pass of a backbone: recorded when a size comes for the second time, and replayed from then on.

    Where a pass cannot be replayed it is made as before: without gradients, with padding, in float32, or while the way
    back from another is outstanding.

    Args:
        backbone: The encoder.
        record: Makes a recording.
    """

    def __init__(self, backbone: Any, record: Callable[..., Recording] = Recording) -> None:
        self._backbone, self._record = backbone, record
        self._forward = backbone.forward
        self._recordings: dict[Size, Recording | None] = {}
        self._gradients: list[Tensor] = []
        self._pool: Any = None
        self._is_able = True
        self._turn: Callable[[], Turn | None] = lambda: None

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """As the backbone's `forward`."""
        learning = [p for p in self._backbone.parameters() if p.requires_grad]
        if args or not learning or not self._is_replayable(inputs):
            return self._forward(*args, **inputs)
        tokens = {name: value for name, value in inputs.items() if name.endswith("_ids")}
        size = size_of(inputs["packing"], tokens, learning)
        if size not in self._recordings:
            self._recordings[size] = None
            return self._forward(**inputs)
        recording = self._recordings[size] or self._recorded(size, inputs, tokens, learning)
        if recording is None:
            return self._forward(**inputs)
        fill(recording.inputs, inputs["packing"], tokens, size)
        turn = Turn()
        self._turn = weakref.ref(turn)
        hidden_TD = Replayed.apply(recording, turn, *learning)
        return BaseModelOutput(last_hidden_state=hidden_TD[:, : inputs["position_ids"].shape[1]])

    @property
    def count(self) -> int:
        """Recordings there are."""
        return sum(recording is not None for recording in self._recordings.values())

    def _is_replayable(self, inputs: Mapping[str, Any]) -> bool:
        packing: Packing | None = inputs.get("packing")
        turn = self._turn()
        if packing is None or not self._backbone.training or not torch.is_grad_enabled():
            return False
        if not set(inputs) <= KNOWN or not (turn is None or turn.is_over):
            return False
        config, kind = self._backbone.config, packing.positions.device.type
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        can_repeat = getattr(packing.texts, "needs_starts_alone", None)  # the layout of a CPU is always another
        if can_repeat is None or not torch.is_autocast_enabled(kind):
            return False
        return bool(can_repeat(torch.get_autocast_dtype(kind), head))

    def _recorded(
        self, size: Size, inputs: Mapping[str, Any], tokens: Mapping[str, Tensor], learning: list[Tensor]
    ) -> Recording | None:
        if self.count >= MOST or not self._is_able:
            return None
        if not self._gradients or [g.shape for g in self._gradients] != [p.shape for p in learning]:
            self._gradients = [torch.empty_like(parameter) for parameter in learning]
            self._pool = self._pool or torch.cuda.graph_pool_handle()
        packing: Any = inputs["packing"]
        device = packing.positions.device
        static = {
            name: torch.zeros(1, size.tokens, dtype=values.dtype, device=device) for name, values in tokens.items()
        }
        static["starts"] = torch.zeros(size.texts + 1, dtype=torch.int32, device=device)
        fill(static, packing, tokens, size)
        texts = packing.texts._replace(starts=static["starts"], longest=size.longest)
        alike = packing._replace(positions=static["position_ids"][0], texts=texts)

        def run(given: Mapping[str, Tensor]) -> Tensor:
            ids = {name: given[name] for name in tokens}
            with torch.autocast(device.type, size.dtype, cache_enabled=False):
                encoded = self._forward(**{**inputs, **ids, "packing": alike})
            hidden_TD: Tensor = encoded.last_hidden_state
            return hidden_TD

        begin = time.perf_counter()
        try:
            made = self._record(run, static, learning, self._gradients, self._pool)
        except RuntimeError as error:  # also where memory does not suffice
            self._is_able = False
            logger.warning("The encoder's passes cannot be recorded, so each is started kernel by kernel: %s", error)
            return None
        self._recordings[size] = made
        seconds = time.perf_counter() - begin
        logger.info("The encoder's pass over %d tokens was recorded in %.1f s", size.tokens, seconds)
        return made


def size_of(packing: Packing, tokens: Mapping[str, Tensor], learning: list[Tensor]) -> Size:
    """The size of a batch: of more tokens than it has, and up to four times the texts, so that there are few.

    Tokens are rounded up to a multiple of 512, which a GPU computes as soon as fewer, or by up to an eighth. A text
    that is not there costs nothing.

    Args:
        packing: Of the batch, as a GPU likes it.
        tokens: What each token is, (1, T).
        learning: The parameters that learn.
    """
    segments: Any = packing.texts
    real = len(packing.positions)
    step = 2 ** max(9, real.bit_length() - 4)
    rounded = -(-real // step) * step
    fillers = -(-(rounded - real) // segments.longest)
    texts = len(segments.starts) - 1 + fillers
    most = 4 ** -(-(texts - 1).bit_length() // 2)
    dtype = torch.get_autocast_dtype(packing.positions.device.type)
    places = tuple(parameter.data_ptr() for parameter in learning)
    return Size(rounded, most, segments.longest, dtype, tuple(sorted(tokens)), places)


def fill(static: Mapping[str, Tensor], packing: Packing, tokens: Mapping[str, Tensor], size: Size) -> None:
    """Put a batch where a recording reads it; what is left are texts of token 0, which nobody asks for."""
    segments: Any = packing.texts
    real, texts = len(packing.positions), len(segments.starts)
    for name, values in tokens.items():
        static[name][:, :real] = values
        static[name][:, real:] = 0
    starts = static["starts"]
    starts[:texts] = segments.starts
    ends = torch.arange(1, len(starts) - texts + 1, dtype=torch.int32, device=starts.device)
    starts[texts:] = (ends * size.longest + real).clamp(max=size.tokens)


@contextmanager
def graphed(model: Any, wanted: bool = True) -> Iterator[None]:
    """Replay the passes of the model's encoder in training, where they can be; afterwards it is as it was.

    Args:
        model: Has a `backbone`, on one GPU and in no wrapper, and without gradient checkpointing.
        wanted: Whether to do it at all.
    """
    if not wanted:
        yield
        return
    backbone: nn.Module = model.backbone
    backbone.forward = GraphedBackbone(backbone)
    try:
        yield
    finally:
        del backbone.forward
