"""What engines on torch share: memory as it is, and memory as it will be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from merrflow_serving.machine import Memory
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.need import Need
from merrflow_serving.torch.settings import TorchSettings

if TYPE_CHECKING:
    import torch

Settings = TypeVar("Settings", bound=TorchSettings)


class OnTorch(ABC, Generic[Settings]):
    """An engine that has memory and plans it (see `HasMemory` and `PlansMemory`)."""

    _settings: Settings

    def memory(self) -> Memory:
        """What the engine uses of its device's memory."""
        return devices.held(self._settings)

    def need(self) -> Need | None:
        """GPU memory, computed from shapes; None on a CPU. Raises `NotReady` if the device or a file is missing."""
        device = devices.device_of(self._settings)
        return self._need(device, devices.dtype_of(self._settings, device)) if device.type == "cuda" else None

    @abstractmethod
    def _need(self, device: torch.device, dtype: torch.dtype) -> Need:
        """On this device. Raises `NotReady` if a file is missing."""
