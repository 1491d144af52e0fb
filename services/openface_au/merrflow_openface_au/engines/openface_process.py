"""One run of FeatureExtraction over several clips: started, watched, and killed where it stands still."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merrflow_openface_au.engines import openface_guard
from merrflow_openface_au.engines.openface_binary import command, command_line

LOOK_SECONDS = 0.1  # between two looks at what a process has written
END_SECONDS = 10.0  # for the guard to end after it was told to kill
TAIL = 400  # characters of a process's last words in an error


@dataclass(frozen=True)
class Call:
    """What to run."""

    binary: Path
    extra: tuple[str, ...]  # arguments of the setting
    folder: Path  # private to this run; the CSVs are written here
    private: Path  # the service's own, around it: removed where the service is killed
    nice: int
    threads: int  # for the libraries that would take all cores
    clips: tuple[Path, ...]  # unique stems
    seconds: tuple[float, ...]  # that each clip may take
    start_seconds: float  # that loading the models, and opening a clip, may take


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int | None  # exit code, 128 + signal where killed by one; None: it stood still and was killed
    begun: tuple[int, ...]  # clips whose turn came, in that order; all but the last were finished
    results: Mapping[int, Path]  # CSV by clip, whole or not
    unopened: bool  # it said that it could not open the last clip
    tail: str  # its last words

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def fault(self) -> str:
        """For people."""
        if self.code is None:
            what = "stood still and was ended"
        elif self.code > 128 and self.code - 128 in {*signal.Signals}:
            what = f"was ended by {signal.Signals(self.code - 128).name}"
        else:
            what = f"ended with {self.code}"
        return f"FeatureExtraction {what}{': ' if self.tail else ''}{self.tail}"


class Stopped(Exception):
    """The engine is being closed."""


def run_process(call: Call, stop: threading.Event) -> Ended:
    """Blocking. Whatever happens, nothing of the process is left when it returns. Raises `Stopped`, `OSError`."""
    guard = [sys.executable, "-I", "-S", openface_guard.__file__]
    guard += [str(call.folder), str(call.private), str(call.nice), "--"]
    guard += command(call.binary, call.extra, call.folder, call.clips)
    watch = _Watch(call)
    with watch.log.open("wb") as said:
        process = subprocess.Popen(
            guard,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=call.folder,
            env=environment(call),
            start_new_session=True,
        )
    try:
        code = _wait(process, watch, stop)
    finally:
        _end(process)
    watch.look()
    return Ended(
        code=code,
        begun=tuple(watch.begun),
        results={index: path for index in range(len(call.clips)) if (path := watch.result(index)) is not None},
        unopened=any(text in watch.tail for text in command_line().unopened),
        tail=_last_words(watch.tail, (call.folder, call.clips[0].parent)),
    )


def environment(call: Call) -> dict[str, str]:
    """Little is handed over: a display would be drawn on, a locale may write numbers with commas."""
    libraries = [str(call.binary.parent.parent / "lib"), *filter(None, _began_with("LD_LIBRARY_PATH").split(":"))]
    threads = str(call.threads)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": ":".join(libraries),
        "LC_ALL": "C",
        "HOME": str(call.folder),
        "TMPDIR": str(call.folder),
        "QT_QPA_PLATFORM": "offscreen",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }


def _began_with(name: str) -> str:
    """A variable of the environment this process was started with: importing cv2 puts its own libraries there."""
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return ""
    variables = dict(line.split(b"=", 1) for line in content.split(b"\0") if b"=" in line)
    return os.fsdecode(variables.get(name.encode(), b""))


class _Watch:
    """What a running process has written so far."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.log = call.folder / "log"
        self._read = 0
        self._places = {path.stem: index for index, path in enumerate(call.clips)}
        self._said: list[int] = []
        self.begun: list[int] = []
        self.tail = ""

    def look(self) -> None:
        """Reads on. The log tells exactly whose turn it is; without one, the CSVs that are there do."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            while new := file.read(1 << 20):
                self._read += len(new)
                self._hear(self.tail + new.decode(errors="replace"))
        self.begun = self._said or [i for i in range(len(self._call.clips)) if self.result(i) is not None]

    def _hear(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            _, begins, path = line.partition(command_line().begins)
            if begins and line.endswith("\n"):
                index = self._places.get(Path(path.strip()).stem)
                if index is not None and index not in self._said:
                    self._said.append(index)
        self.tail = text[-4096:]

    def result(self, index: int) -> Path | None:
        """The CSV of a clip. An OpenFace that knows neither -of nor -out_dir writes to `processed`."""
        name = f"{self._call.clips[index].stem}.csv"
        paths = (self._call.folder / name, self._call.folder / "processed" / name)
        return next((path for path in paths if path.is_file() and not path.is_symlink()), None)

    def allowed(self) -> float:
        """Seconds that may pass before the next clip's turn comes, or the end."""
        begun = self.begun
        return self._call.start_seconds + (self._call.seconds[begun[-1]] if begun else 0.0)


def _wait(process: subprocess.Popen[bytes], watch: _Watch, stop: threading.Event) -> int | None:
    since, begun = time.monotonic(), 0
    while True:
        try:
            return process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if stop.is_set():
            raise Stopped
        watch.look()
        if len(watch.begun) != begun:
            since, begun = time.monotonic(), len(watch.begun)
        if time.monotonic() - since > watch.allowed():
            return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Has the guard kill what still runs, and waits for it."""
    assert process.stdin is not None
    if process.poll() is None:
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            process.stdin.write(b"kill\n")
            process.stdin.flush()
            process.wait(END_SECONDS)
    if process.poll() is None:
        process.kill()  # the kernel kills the command with it
        process.wait()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _last_words(text: str, private: tuple[Path, ...]) -> str:
    """The end of what was said, without the progress that OpenFace counts and without private folders."""
    for folder in private:
        text = text.replace(f"{folder}/", "")
    begins = command_line().begins
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and begins not in line and not line.endswith("%")]
    return " / ".join(kept)[-TAIL:]
