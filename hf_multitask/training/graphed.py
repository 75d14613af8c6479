"""An encoder whose passes over packed batches are recorded as CUDA graphs, by their number of tokens."""

import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from ..modeling.packing import Packing
from .cuda_graph import Recording, RecordingError, Replayed, Turn
from .own_forward import OwnForward

logger = logging.getLogger(__name__)

MOST = 12
"""Recordings that are kept: each has the memory of its hidden states and their gradients, all together that of one pass
and one more set of gradients."""

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
    """

    tokens: int
    texts: int
    longest: int
    dtype: torch.dtype
    names: tuple[str, ...]


class GraphedBackbone(OwnForward):
    """The pass of a backbone: recorded when a size comes for the second time, and replayed from then on.

    Where a pass cannot be replayed it is made as before: without gradients, with padding, in float32, or while the way
    back from another is outstanding. When other parameters learn, or lie elsewhere, all is recorded anew.

    Args:
        backbone: The encoder.
        record: Makes a recording.
    """

    def __init__(self, backbone: Any, record: Callable[..., Recording] = Recording) -> None:
        super().__init__(backbone)
        self._record = record
        self._recordings: dict[Size, Recording | None] = {}
        self._gradients: list[Tensor] = []
        self._places: list[int] = []
        self._pool: Any = None
        self._is_able = True
        self._turn: Callable[[], Turn | None] = lambda: None

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """As the backbone's `forward`."""
        if args or not self._is_replayable(inputs):
            return self._plain(*args, **inputs)
        if not self._is_able:
            return self._started(inputs)
        learning = [p for p in self._module.parameters() if p.requires_grad]
        places = [parameter.data_ptr() for parameter in learning]
        if places != self._places:
            self._recordings.clear()
            self._places, self._gradients = places, []
        tokens = {name: value for name, value in inputs.items() if name.endswith("_ids")}
        size = size_of(inputs["packing"], tokens)
        recording = self._recordings.get(size)
        if recording is None and size in self._recordings:
            recording = self._recorded(size, inputs, tokens, learning)
        if recording is None or not learning:
            self._recordings.setdefault(size, None)
            return self._started(inputs)
        fill(recording.inputs, inputs["packing"], tokens, size)
        turn = Turn()
        self._turn = weakref.ref(turn)
        hidden_TD = Replayed.apply(recording, turn, *learning)
        return BaseModelOutput(last_hidden_state=hidden_TD[:, : inputs["position_ids"].shape[1]])

    def _started(self, inputs: Mapping[str, Any]) -> Any:
        """The pass, kernel by kernel, as one that is recorded: compiled code depends on how autocast is set."""
        kind = inputs["packing"].positions.device.type
        with torch.autocast(kind, torch.get_autocast_dtype(kind), cache_enabled=False):
            return self._plain(**inputs)

    @property
    def count(self) -> int:
        """Recordings there are."""
        return sum(recording is not None for recording in self._recordings.values())

    def _is_replayable(self, inputs: Mapping[str, Any]) -> bool:
        packing: Packing | None = inputs.get("packing")
        turn = self._turn()
        if packing is None or not self._module.training or not torch.is_grad_enabled():
            return False
        if not set(inputs) <= KNOWN or not (turn is None or turn.is_over):
            return False
        kind = packing.positions.device.type
        can_repeat = getattr(packing.texts, "needs_starts_alone", None)  # the layout of a CPU is always another
        if can_repeat is None or not torch.is_autocast_enabled(kind):
            return False
        return bool(can_repeat(torch.get_autocast_dtype(kind), head_size(self._module.config)))

    def _recorded(
        self, size: Size, inputs: Mapping[str, Any], tokens: Mapping[str, Tensor], learning: list[Tensor]
    ) -> Recording | None:
        if self.count >= MOST or not learning:
            return None
        if self._pool is None and not has_room(learning[0].device):
            self._is_able = False
            logger.info("The encoder's passes are not recorded: that needs as much memory again as training does")
            return None
        if not self._gradients:
            self._gradients = [torch.empty_like(parameter) for parameter in learning]
            self._pool = torch.cuda.graph_pool_handle()
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
            hidden_TD: Tensor = self._started({**inputs, **ids, "packing": alike}).last_hidden_state
            return hidden_TD

        begin = time.perf_counter()
        try:
            made = self._record(run, static, learning, self._gradients, self._pool)
        except RecordingError as error:
            self._is_able = False
            self._recordings, self._gradients, self._pool = {}, [], None
            logger.warning("The encoder's passes cannot be recorded, so each is started kernel by kernel: %s", error)
            return None
        self._recordings[size] = made
        seconds = time.perf_counter() - begin
        logger.info("The encoder's pass over %d tokens was recorded in %.1f s", size.tokens, seconds)
        return made


def head_size(text_config: Any) -> int:
    """The size of an attention head."""
    size: int = getattr(text_config, "head_dim", None) or text_config.hidden_size // text_config.num_attention_heads
    return size


def has_room(device: torch.device) -> bool:
    """Whether twice the memory that was needed so far on a device is there for this process."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return 2 * torch.cuda.max_memory_allocated(device) < free + torch.cuda.memory_reserved(device)


def size_of(packing: Packing, tokens: Mapping[str, Tensor]) -> Size:
    """The size of a batch: of more tokens than it has, and up to four times the texts, so that there are few.

    Tokens are rounded up to a multiple of 512, which a GPU computes as soon as fewer, or by up to an eighth. A text
    that is not there costs nothing.

    Args:
        packing: Of the batch, as a GPU likes it.
        tokens: What each token is, (1, T).
    """
    segments: Any = packing.texts
    real = len(packing.positions)
    step = 2 ** max(9, real.bit_length() - 4)
    rounded = -(-real // step) * step
    fillers = -(-(rounded - real) // segments.longest)
    texts = len(segments.starts) - 1 + fillers
    most = 4 ** -(-(texts - 1).bit_length() // 2)
    dtype = torch.get_autocast_dtype(packing.positions.device.type)
    return Size(rounded, most, segments.longest, dtype, tuple(sorted(tokens)))


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
def graphed(model: Any) -> Iterator[None]:
    """Replay the passes of the model's encoder in training, where they can be; afterwards it is as it was.

    A loop of one's own lets go of the loss of a step before the next: what autograd knows of it is in the way.

    Args:
        model: Has a `backbone`, on one GPU and in no wrapper, and without gradient checkpointing.
    """
    if isinstance(model.backbone.forward, GraphedBackbone):
        yield
        return
    with GraphedBackbone(model.backbone).in_place():
        yield
