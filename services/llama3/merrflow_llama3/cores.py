"""How many threads a model should take on this machine."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 4  # more threads cost more in waiting for each other than a small model gains


def default_threads() -> int:
    """Physical cores this process may use, at most 4 and at least 1.

    Two threads on the two halves of one core are slower than one, and so are more threads than a container's
    share of the processor (cgroup v2 `cpu.max`).
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota(), _MOST))


def _core(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(int(quota) / int(period)))
    except (OSError, ValueError):  # no such limit
        return _MOST
