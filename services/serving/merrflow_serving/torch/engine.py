"""What engines on torch share: memory as it is, as it will be, and as it is shared with others on the same card."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.card import FOLDER, CardShare, Part
from merrflow_serving.torch.estimate import CONTEXT_BYTES
from merrflow_serving.torch.need import Need
from merrflow_serving.torch.settings import TorchSettings
from merrflow_serving.weights.entries import entry

if TYPE_CHECKING:
    import torch

Settings = TypeVar("Settings", bound=TorchSettings)


class OnTorch(ABC, Generic[Settings]):
    """An engine that has memory and plans it (see `HasMemory` and `PlansMemory`)."""

    _settings: Settings
    _share: CardShare | None = None  # of the card, once it is announced

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

    def _announce(self, *weights: str) -> None:
        """Tells the other services on the same card what this one will need, before it waits for its weights.

        weights: entries of weights.yaml, by which the need is estimated as long as their files are not there.
        """
        try:
            device = devices.device_of(self._settings)
        except (ImportError, NotReady):  # loading reports it
            return
        if device.type != "cuda":
            return
        try:
            need = self._need(device, devices.dtype_of(self._settings, device))
        except (ImportError, NotReady):
            need = _of_files(weights)
        if self._share is None:
            folder = self._settings.models_dir / FOLDER / devices.card_of(device)
            self._share = CardShare(folder, self._settings.service, lambda: devices.memory(device))
        self._share.claim(need)

    @contextmanager
    def _turn(self) -> Iterator[Part]:
        """While the context lasts, no other service loads on the same card. Raises `NotReady` if it is full."""
        if self._share is None:
            yield Part.unlimited(self.memory)
            return
        with self._share.turn() as part:
            yield part

    def _cap(self, part: Part) -> None:
        """Keeps torch within a part that is less than the engine could use, so that batches become smaller instead."""
        if self._share is None or not part.is_small():
            return
        import torch

        device = devices.device_of(self._settings)
        total = self.memory().total_bytes
        torch.cuda.set_per_process_memory_fraction(max(0.01, (part.bytes() - CONTEXT_BYTES) / total), device)

    def _leave(self) -> None:
        """Gives up the engine's share of the card."""
        if self._share is not None:
            self._share.close()
            self._share = None


def _of_files(names: tuple[str, ...]) -> Need:
    """From the size of weights that are not there yet."""
    total = 0
    for name in names:
        try:
            total += entry(name).bytes
        except InvalidInput:  # loading reports it
            continue
    return Need(total + CONTEXT_BYTES, total + CONTEXT_BYTES)
