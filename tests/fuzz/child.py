"""Works through cases in a process of its own with bounded memory; the parent (files.py) holds the deadline.

Writes a line "N" before case N, and "N: what was wrong" for a find. A crash or a hang is told by its last line.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path

import av.logging

from tests.fuzz import cases
from tests.fuzz.seeds import MAKERS, seeds
from tests.fuzz.targets import SUFFIXES, Broken, run

MEMORY_MIB = 1024  # address space that a case may take above what the libraries have
LEAK_MIB = 200  # resident memory that many cases may leave behind
ROUGH = 100  # cases until caches and pools are full


def main() -> None:
    """Arguments: see `files.py`, which starts it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--numbers", type=int, nargs=3, required=True, metavar=("FIRST", "END", "STEP"))
    parser.add_argument("--kinds", nargs="+", default=list(MAKERS))
    arguments = parser.parse_args()
    av.logging.set_level(None)
    logging.disable()
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:  # imports and models, before the bound
            for whole in seeds(kind):
                run_in(Path(folder), kind, whole)
        bound = address_space() + (MEMORY_MIB << 20)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        rough = 0.0
        for done, number in enumerate(range(*arguments.numbers)):
            print(number, file=say)
            case = cases.make(arguments.seed, number, tuple(arguments.kinds))
            try:
                run_in(Path(folder), case.kind, case.data)
            except BaseException as error:
                print(f"{number}: {case.kind}: {told(error)}", file=say)
            if done == ROUGH:
                rough = _resident()
        gc.collect()
        print(f"left {_resident() - rough if rough else 0:.0f}", file=say)


def run_in(folder: Path, kind: str, data: bytes) -> str:
    """Writes the file and reads it; as `targets.run`."""
    path = folder / f"case{SUFFIXES[kind]}"
    path.write_bytes(data)
    os.utime(folder)  # the folder's listing is cached by its time
    try:
        return run(kind, path)
    finally:
        path.unlink()


def told(error: BaseException) -> str:
    """The error and where in our code it came up, on one line."""
    text = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    own = next((frame for frame in reversed(frames) if "merrflow" in frame.filename), frames[-1])
    place = "" if isinstance(error, Broken) else f" at {Path(own.filename).name}:{own.lineno}"
    return f"{type(error).__name__}{place}: {text}"


def _resident() -> float:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def address_space() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
