"""Mutated files through every reader: `python -m tests.fuzz.files --cases 10000 --seed 1`.

Cases run in child processes with bounded memory and a deadline each; prints cases, seconds and finds. Exit code 1
where something was found. `--show N` prints what case N is and, with `--out FILE`, writes its file.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import cases
from tests.fuzz.child import LEAK_MIB
from tests.fuzz.seeds import MAKERS

DEADLINE = 20.0  # seconds for one case; none takes one on an idle machine
START = 120.0  # seconds for a child's imports


@dataclass
class Result:
    """What a run found. `finds`: case number and what was wrong."""

    cases: int = 0
    seconds: float = 0.0
    slowest: float = 0.0  # seconds of one case
    finds: list[tuple[int, str]] = field(default_factory=list)


def fuzz(
    count: int, seed: int, *, kinds: Sequence[str] = tuple(MAKERS), processes: int = 1, deadline: float = DEADLINE
) -> Result:
    """Runs cases 0 to `count` - 1. A child that dies or hangs is a find, and another goes on behind its case."""
    started = time.monotonic()
    result = Result(cases=count)
    lock = threading.Lock()

    def work(first: int) -> None:
        while first < count:
            first = _child(first, count, processes, seed, kinds, deadline, result, lock)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.monotonic() - started
    result.finds.sort()
    return result


def _child(
    first: int,
    end: int,
    step: int,
    seed: int,
    kinds: Sequence[str],
    deadline: float,
    result: Result,
    lock: threading.Lock,
) -> int:
    """Runs one child to its end; gives the number of the case to go on with."""
    numbers = map(str, (first, end, step))
    command = [sys.executable, "-m", "tests.fuzz.child", "--seed", str(seed), "--numbers", *numbers, "--kinds", *kinds]
    lines: queue.Queue[str] = queue.Queue()
    at = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        threading.Thread(target=_pass_on, args=(child.stdout, lines), daemon=True).start()
        began = time.monotonic()
        while True:
            try:
                line = lines.get(timeout=START if at is None else deadline)
            except queue.Empty:
                child.kill()
                with lock:
                    result.finds.append((-1 if at is None else at, f"hangs for more than {deadline:g} s"))
                return end if at is None else at + step
            with lock:
                if at is not None:
                    result.slowest = max(result.slowest, time.monotonic() - began)
                if ": " in line:
                    number, _, what = line.partition(": ")
                    result.finds.append((int(number), what))
                elif line.startswith("left "):
                    if float(line.split()[1]) > LEAK_MIB:
                        result.finds.append((-1, f"a leak: {line.split()[1]} MiB stay after {end - first} cases"))
                elif line:
                    at = int(line)
                else:
                    break
            began = time.monotonic()
        code = child.wait()
    if code == 0:
        return end
    with lock:
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        result.finds.append((-1 if at is None else at, f"the process ends with {what}"))
    return end if at is None else at + step


def _pass_on(pipe: Iterator[str], lines: queue.Queue[str]) -> None:
    for line in pipe:
        lines.put(line.strip())
    lines.put("")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=DEADLINE, help="seconds for one case")
    parser.add_argument("--kinds", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--show", type=int, metavar="N", help="tell what case N is, and run nothing")
    parser.add_argument("--out", type=Path, help="with --show: where its file goes")
    given = parser.parse_args()
    if given.show is not None:
        case = cases.make(given.seed, given.show, tuple(given.kinds))
        print(f"case {given.show}: {case.kind}, {len(case.data)} bytes")
        if given.out:
            given.out.write_bytes(case.data)
        return 0
    result = fuzz(given.cases, given.seed, kinds=given.kinds, processes=given.processes, deadline=given.deadline)
    for number, what in result.finds:
        print(f"case {number}: {what}")
    print(f"{result.cases} files in {result.seconds:.0f} s, slowest {result.slowest:.1f} s, {len(result.finds)} finds")
    figures = {"cases": result.cases, "seconds": round(result.seconds, 1), "finds": len(result.finds)}
    print(json.dumps({"program": "fuzz.files", "seed": given.seed, **figures}))
    return 1 if result.finds else 0


if __name__ == "__main__":
    sys.exit(main())
