"""A `forward` that stands in place of a module's own for a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import nn


class OwnForward:
    """Called in place of a module's `forward`.

    A copy of the module, made meanwhile, has the `forward` of its class again: it computes with its own weights.

    Args:
        module: The module.
    """

    def __init__(self, module: Any) -> None:
        self._module: Any = module
        self._plain: Any = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the module's `forward`."""
        raise NotImplementedError

    def __reduce__(self) -> Any:
        """What `copy` makes of it: the method of the copied module, which is in the midst of being made."""
        return _of_class, (self._module,)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Stand there; then put back what stood there before."""
        module: nn.Module = self._module
        before = vars(module).get("forward")
        module.forward = self
        try:
            yield
        finally:
            if before is None:
                del module.forward
            else:
                module.forward = before


def _of_class(module: nn.Module) -> Any:
    return MethodType(type(module).forward, module)
