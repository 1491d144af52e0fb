"""What a GPU is doing, for the metrics page. Does not import torch; uses it once an engine has loaded it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from merrflow_serving.machine import Memory

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True)
class GpuState:
    """The GPU an engine computes on. What could not be measured is None."""

    device: str  # as torch names it, such as "cuda:0"
    memory: Memory | None = None
    utilization: float | None = None  # share of the last second in which the GPU computed, 0 to 1


class GpuMonitor:
    """Measures a service's GPU. What cannot be measured is logged once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def state(self, device: str, memory: Callable[[], Memory] | None) -> GpuState | None:
        """The GPU that the engine's `device` names ("cuda", "cuda:1", vLLM's "auto"), or None for a CPU. Never raises.

        memory: the engine's own, if it has one. Otherwise the card's memory stays unknown, because asking torch for it
        would take some hundred megabytes of the card in this process.
        """
        if device.partition(":")[0] not in ("cuda", "auto"):
            return None
        held = self._attempt("GPU memory", memory) if memory is not None else None
        return GpuState(device, held, self._attempt("GPU utilization", lambda: _utilization(device)))

    def _attempt(self, what: str, measure: Callable[[], T]) -> T | None:
        """The value, or None: a metrics page that fails would hide all the rest."""
        try:
            return measure()
        except Exception as error:
            if what not in self._logged:
                self._logged.add(what)
                log.info("not on the metrics page", what=what, why=f"{type(error).__name__}: {error}")
            return None


def _utilization(device: str) -> float | None:
    """By NVML, which needs the package nvidia-ml-py. Always given an index: without one torch initialises the card."""
    torch = sys.modules.get("torch")
    if torch is None:  # the engine computes in a process of its own, or is not loaded yet
        return None
    percent: int = torch.cuda.utilization(int(device.partition(":")[2] or 0))
    return percent / 100
