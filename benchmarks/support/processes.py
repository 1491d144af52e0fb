"""What processes take of the machine."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil

MERRFLOW = (sys.executable, "-c", "from merrflow.cli import main; main()")


def peak_mib(pid: int) -> float:
    """The most memory that a process has held; 0 if it is gone."""
    return _mib(Path(f"/proc/{pid}/status"), "VmHWM:")


def shared_out_mib(pid: int) -> float:
    """The memory of a process, of what it shares its part (PSS); 0 if it is gone."""
    return _mib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def _mib(file: Path, name: str) -> float:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


def own_cpu_seconds(pid: int, *, waited_for: bool = False) -> float:
    """Of a process; 0 if it is gone. waited_for: with the children that it waited for."""
    with suppress(psutil.NoSuchProcess):
        return float(sum(psutil.Process(pid).cpu_times()[: 4 if waited_for else 2]))
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Of a process and all that it started, those that have ended and were waited for included."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return sum(own_cpu_seconds(one.pid, waited_for=True) for one in (top, *top.children(recursive=True)))
    return 0.0
