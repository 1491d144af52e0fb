"""What a command uses, together with every process that it starts: wall time, processor time, memory. Linux only."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.support.processes import own_cpu_seconds, peak_mib, shared_out_mib

_MARK = "BENCHMARK_PROCESS_TREE"  # an environment variable, which children inherit: in any session, with any parent
_LOOK_SECONDS = 1.0  # between looks at memory
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Used:
    """What one command used."""

    seconds: float  # wall
    cpu_seconds: float  # of all its processes, also of those that it left behind
    own_mib: float  # peak resident memory of its first process
    tree_mib: float  # peak of all its processes at one moment; what they share counts once
    load: float  # of the machine, at its end
    printed: str  # its output


def run_tree(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path | None = None) -> Used:
    """Runs the command to its end; ends what it leaves behind. Raises `RuntimeError` if its exit code is not 0."""
    mark = uuid.uuid4().hex
    own = tree = 0.0
    with tempfile.TemporaryFile() as output:
        started = looked = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env={**environment, _MARK: mark}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            # wait4 is the only call that says what a child and all that it waited for have used.
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            while not ended:
                time.sleep(0.05)
                if time.monotonic() - looked >= _LOOK_SECONDS:
                    looked = time.monotonic()
                    own = max(own, peak_mib(process.pid))
                    tree = max(tree, sum(map(shared_out_mib, marked(mark))))
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - started
        finally:
            left = marked(mark)
            left_cpu = sum(own_cpu_seconds(pid, waited_for=True) for pid in left)
            _end(left)
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[-6:])} ended with {process.returncode}:\n{printed[-2000:]}")
    own = max(own, usage.ru_maxrss / 1024 if not own else 0.0)  # of a command too short for a look
    return Used(seconds, usage.ru_utime + usage.ru_stime + left_cpu, own, max(own, tree), os.getloadavg()[0], printed)


def marked(mark: str) -> list[int]:
    """The running processes that carry this mark."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended, or is another user's
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def _end(pids: Sequence[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(map(is_running, pids)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    with suppress(ChildProcessError):  # no child of this process
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
