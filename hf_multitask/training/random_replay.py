"""Random numbers drawn a second time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


class RandomState:
    """Where torch's random numbers stand now, on the CPU and on `device`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._module: Any = None if device.type == "cpu" else torch.get_device_module(device)
        self._state = None if self._module is None else self._module.get_rng_state(device)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Draw from there; afterwards they stand where they stood before."""
        devices = [] if self._module is None else [self._device]
        with torch.random.fork_rng(devices, device_type=self._device.type if devices else "cuda"):
            torch.set_rng_state(self._cpu)
            if self._module is not None:
                self._module.set_rng_state(self._state, self._device)
            yield
