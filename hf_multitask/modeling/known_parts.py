"""A model that looks through its modules once while it trains, and not several times a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class KnownParts(nn.Module):
    """A module that does not look for its parts where it has been told that they stay.

    A Trainer switches the model to training before each micro-batch, and looks for all parameters to clip and to clear
    their gradients. What these find does not change while a model trains; finding it is most of what
    transformers' Trainer adds to the step of a bare loop, some milliseconds (`benchmarks/run.py overhead`).
    """

    _parts: tuple[tuple[nn.Module, ...], tuple[nn.Parameter, ...]] | None = None

    @contextmanager
    def with_known_parts(self, wanted: bool = True) -> Iterator[None]:
        """As long as this is open, the modules and parameters are those there are now.

        Args:
            wanted: Whether to do it at all.
        """
        before = self._parts
        if wanted:
            self._parts = tuple(self.modules()), tuple(self.parameters())
        try:
            yield
        finally:
            self._parts = before

    def __getstate__(self) -> dict[str, Any]:
        """What a copy gets: it looks for its parts by itself, also when nobody tells it that they may change again."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call, unused-ignore]
        state.pop("_parts", None)
        return state

    def train(self, mode: bool = True) -> Any:
        """As [`torch.nn.Module.train`]."""
        if self._parts is not None and all(module.training is mode for module in self._parts[0]):
            return self
        return super().train(mode)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As [`torch.nn.Module.parameters`]."""
        return super().parameters(recurse) if self._parts is None or not recurse else iter(self._parts[1])
