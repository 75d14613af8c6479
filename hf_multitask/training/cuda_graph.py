"""A pass of an encoder over so many tokens, and the way back, as two CUDA graphs.

Letters of the shapes: T tokens, D hidden size.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class RecordingError(RuntimeError):
    """A pass cannot be recorded, and nothing has changed by the attempt."""


class Recording:
    """What the GPU does in a pass and on the way back, to be started as a whole.

    The host starts kernel by kernel otherwise, which takes longer than the GPU needs for some thousand tokens. See
    "CUDA Graphs" in torch's notes, and `torch.cuda.make_graphed_callables`, of which this differs in that the gradients
    of all recordings of a model lie in the same place.

    Args:
        run: The pass, from the inputs to the hidden states, (1, T, D).
        inputs: Read by every replay; their values are set before it.
        parameters: Whose gradients are wanted.
        gradients: As the parameters; where every replay leaves their gradients.
        pool: Of memory, shared by recordings of which one at a time is between its pass and its way back.

    Raises:
        RecordingError: The pass fails, as for want of memory, or makes the host wait for the GPU.
        RuntimeError: It could not be recorded all the same.
    """

    def __init__(
        self,
        run: Callable[[Mapping[str, Tensor]], Tensor],
        inputs: Mapping[str, Tensor],
        parameters: list[Tensor],
        gradients: list[Tensor],
        pool: Any,
    ) -> None:
        self.inputs, self._parameters, self._gradients = inputs, parameters, gradients
        device = parameters[0].device
        random_state = torch.cuda.get_rng_state(device)
        try:
            self._warm_up(run)
            self._capture(run, pool)
        finally:
            torch.cuda.set_rng_state(random_state, device)  # a run draws the same with a recording made earlier

    def _warm_up(self, run: Callable[[Mapping[str, Tensor]], Tensor]) -> None:
        """On a stream of its own, as torch's notes ask for; the last time, waiting for the GPU is an error."""
        before = torch.cuda.get_sync_debug_mode()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Synchronization debug mode")
                for is_last in (False, True):
                    torch.cuda.set_sync_debug_mode("error" if is_last else before)
                    output = run(self.inputs)
                    torch.autograd.grad(output, self._parameters, torch.zeros_like(output), allow_unused=True)
        except RuntimeError as error:
            raise RecordingError(str(error)) from error
        finally:
            torch.cuda.set_sync_debug_mode(before)
            torch.cuda.current_stream().wait_stream(stream)  # what it reads may be freed from now on

    def _capture(self, run: Callable[[Mapping[str, Tensor]], Tensor], pool: Any) -> None:
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # Other threads may go on, such as that of a data loader which pins memory.
        how: Any = {"pool": pool, "capture_error_mode": "thread_local"}
        try:
            with torch.cuda.graph(self._forward, **how):
                output_TD = run(self.inputs)
            self._output_gradient = torch.zeros_like(output_TD)
            with torch.cuda.graph(self._backward, **how):
                found = torch.autograd.grad(output_TD, self._parameters, self._output_gradient, allow_unused=True)
                self._is_used = [gradient is not None for gradient in found]
                pairs = [(kept, new) for kept, new in zip(self._gradients, found, strict=True) if new is not None]
                torch._foreach_copy_([kept for kept, _ in pairs], [new for _, new in pairs])
        except torch.OutOfMemoryError as error:
            raise RecordingError(str(error)) from error
        except RuntimeError as error:  # which leaves torch's generators and streams as they are in a capture
            raise RuntimeError(
                f"The encoder's pass must be such that a CUDA graph can be made of it, found: {error}. Pass "
                "performance='exact', which makes none."
            ) from error
        self._output = output_TD.detach()

    def replay(self) -> Tensor:
        """The hidden states, (1, T, D), which the next replay of any recording overwrites."""
        self._forward.replay()
        return self._output.detach()

    def replay_backward(self, gradient_TD: Tensor) -> list[Tensor | None]:
        """The gradients of the parameters, of the last replay.

        They are in memory that the next call writes. A parameter that has taken its own for its `grad`, as
        autograd lets it, gets a copy before that, so that gradients of several passes add up.
        """
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            if parameter.grad is not None and parameter.grad.data_ptr() == gradient.data_ptr():
                parameter.grad = parameter.grad.clone()
        self._output_gradient.copy_(gradient_TD)
        self._backward.replay()
        both = zip(self._gradients, self._is_used, strict=True)
        return [gradient.detach() if is_used else None for gradient, is_used in both]


class Turn:
    """The time from a replayed pass to its way back, in which no other may be replayed."""

    def __init__(self) -> None:
        self.is_over = False


class Replayed(torch.autograd.Function):
    """A recorded pass as a step of autograd: from a recording, a [`Turn`] and the parameters to the hidden states."""

    @staticmethod
    def forward(ctx: Any, recording: Recording, turn: Turn, *parameters: Tensor) -> Tensor:  # noqa: ARG004 - autograd's
        """The hidden states, (1, T, D)."""
        ctx.recording, ctx.turn = recording, turn
        return recording.replay()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        """The gradients of the parameters.

        Raises:
            RuntimeError: They were asked for before; what they are computed from has been overwritten.
        """
        if ctx.turn.is_over:
            raise RuntimeError(
                "The way back from a pass in a CUDA graph must be taken once, found a second time. Pass "
                "performance='exact', which records no graphs."
            )
        gradients = ctx.recording.replay_backward(gradient)
        ctx.turn.is_over = True
        return (None, None, *gradients)
