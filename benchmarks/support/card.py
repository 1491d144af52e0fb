"""What a device can do at most, measured on it rather than looked up."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

_REPEATS = 8  # the fastest counts: a limit is what can be reached


@dataclass(frozen=True)
class Card:
    """A device and its limits."""

    name: str
    memory_bytes: int  # 0 on a CPU
    bandwidth: float  # bytes read and written a second, by a large copy
    peaks: dict[str, float]  # floating-point operations a second, by a large matrix product: by number format

    def peak(self, dtype: torch.dtype) -> float:
        return self.peaks[format_name(dtype)]


def format_name(dtype: torch.dtype) -> str:
    """ "bfloat16" of torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


def device_name(device: torch.device) -> str:
    """The card's own name, or the kind of processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def wait(device: torch.device) -> None:
    """Returns when the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_card(device: torch.device, dtypes: Iterable[torch.dtype], *, small: bool = False) -> Card:
    """Copies 1 GiB and multiplies 8192 x 8192 matrices; `small`: 64 MiB and 512 x 512."""
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
    peaks = {format_name(dtype): product_rate(device, dtype, 512 if small else 8192) for dtype in set(dtypes)}
    return Card(device_name(device), total, copy_rate(device, (1 << 26) if small else (1 << 30)), peaks)


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes a second of a copy of `size` bytes on the device: each is read once and written once."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), device)


def product_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations a second of a product of two random `side` x `side` matrices: 2 * side**3 of them."""
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator, device=device).to(dtype) for _ in range(2))
    into = torch.empty_like(left)
    return 2 * side**3 / _fastest(lambda: torch.mm(left, right, out=into), device)


def _fastest(run: Callable[[], object], device: torch.device) -> float:
    """Seconds."""
    run()
    seconds = []
    for _ in range(_REPEATS):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
