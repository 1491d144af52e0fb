"""What this process may use of the machine: its affinity and its container's limits (cgroup v2, and v1)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")
CPUS = Path("/sys/devices/system/cpu")
_MEMORY_FILES = (  # the bound, and what is held of it
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Memory:
    """Memory of the device an engine computes on, in bytes."""

    used_bytes: int  # by this process: what torch holds on a GPU, the resident set on a CPU
    total_bytes: int  # of the device; on a CPU what this process may use (the container's limit, else the machine's)
    peak_bytes: int = 0  # the most this process held so far
    free_bytes: int = 0  # what is left, with the use of other processes counted


def cores() -> int:
    """Processor cores, at least 1."""
    return max(1, min(len(os.sched_getaffinity(0)), round(_quota()) or 1))


def physical_cores() -> int:
    """Physical cores, at least 1: the hardware threads of one core count once.

    Work that keeps a core busy is slower on two threads of one core than on one.
    """
    return min(len({_core(cpu) for cpu in os.sched_getaffinity(0)}), cores())


def host_memory() -> Memory:
    """The machine's memory, or the container's if that is less (Linux)."""
    status, machine = _kilobytes(PROC / "self/status"), _kilobytes(PROC / "meminfo")
    used, total = status.get("VmRSS", 0), machine.get("MemTotal", 0)
    free = machine.get("MemAvailable", max(0, total - used))
    for bound_file, held_file in _MEMORY_FILES:
        bound, held = _text(CGROUP / bound_file).strip(), _text(CGROUP / held_file).strip()
        if bound.isdigit() and held.isdigit() and int(bound) < total:
            total, free = int(bound), min(free, max(0, int(bound) - int(held)))
    return Memory(used, total, status.get("VmHWM", used), free)


def _core(cpu: int) -> str:
    """What the hardware threads of a core have in common."""
    return _text(CPUS / f"cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu)


def _quota() -> float:
    """Cores by the container's share of processor time; very many if it has no such limit."""
    words = _text(CGROUP / "cpu.max").split()
    if len(words) != 2:
        words = [_text(CGROUP / "cpu" / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    quota, period = words
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else 1e6


def _kilobytes(file: Path) -> dict[str, int]:
    """Lines such as "VmRSS:   1234 kB", as bytes."""
    found = {}
    for line in _text(file).splitlines():
        name, _, value = line.partition(":")
        parts = value.split()
        if len(parts) == 2 and parts[1] == "kB" and parts[0].isdigit():
            found[name] = int(parts[0]) * 1024
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # no container, or another version of control groups
        return ""
