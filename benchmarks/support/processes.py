"""Programs as processes, and what they take of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PAUSE_SECONDS = 0.1  # between two looks at a process's memory
MERRFLOW = (sys.executable, "-c", "from merrflow.cli import main; main()")


@dataclass(frozen=True)
class Took:
    """A process that has ended."""

    seconds: float  # wall
    cpu_seconds: float  # with its children
    peak_mib: float  # resident, of itself
    printed: str

    def numbers(self) -> dict[str, float]:
        """Without what it printed."""
        return {"s": round(self.seconds, 2), "cpu_s": round(self.cpu_seconds, 2), "mib": round(self.peak_mib)}


def run(command: Sequence[str], settings: Mapping[str, str]) -> Took:
    """Runs a command to its end. settings: environment variables beside this process's own. Raises `RuntimeError` if it
    fails, or says so."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(list(command), stdout=output, stderr=output, env=os.environ | dict(settings))
        peak = 0.0
        try:
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                peak = max(peak, peak_mib(process.pid))  # usage.ru_maxrss counts the process that started it, too
                time.sleep(PAUSE_SECONDS)
        except BaseException:
            process.terminate()
            raise
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[-6:])} ended with {process.returncode}:\n{printed[-2000:]}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, peak, printed)


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
