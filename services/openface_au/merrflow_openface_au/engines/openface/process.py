"""One run of FeatureExtraction over several clips: started, watched, and killed if it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from merrflow_openface_au.engines.openface import guard
from merrflow_openface_au.engines.openface.binary import command, command_line

POLL_SECONDS = 0.1  # between two reads of what a process has written
END_SECONDS = 10.0  # for the guard to exit once it was asked to kill
TAIL = 400  # characters of a process's last output in an error


@dataclass(frozen=True)
class ProcessCall:
    """What to run."""

    binary: Path
    extra: tuple[str, ...]  # arguments from the settings
    folder: Path  # private to this run; the CSVs are written here
    private: Path  # the service's own folder, around `folder`: removed if the service is killed
    nice: int
    threads: int  # for libraries that would otherwise use all cores
    clips: tuple[Path, ...]  # unique stems
    seconds: tuple[float, ...]  # that each clip may take
    start_seconds: float  # that loading the models or opening a clip may take


@dataclass(frozen=True)
class ProcessResult:
    """How a run ended."""

    code: int | None  # exit code, or 128 + the signal; None: it hung and was killed
    begun: tuple[int, ...]  # clips that were begun, in that order; all but the last were finished
    results: Mapping[int, Path]  # CSV by clip, complete or not
    unopened: bool  # it reported that it could not open the last clip
    tail: str  # the end of its output

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def fault(self) -> str:
        """How the process failed, as a sentence."""
        if self.code is None:
            what = "stood still and was ended"
        elif self.code > 128 and self.code - 128 in {*signal.Signals}:
            what = f"was ended by {signal.Signals(self.code - 128).name}"
        else:
            what = f"ended with {self.code}"
        return f"FeatureExtraction {what}{': ' if self.tail else ''}{self.tail}"


class Stopped(Exception):
    """The engine is being closed, or nobody waits for the clips any more."""


def run_process(call: ProcessCall, is_stopped: Callable[[], bool]) -> ProcessResult:
    """Runs it and waits. In any case no process is left when this returns. Raises `OSError`, and `Stopped` once it
    `is_stopped`, which is asked ten times a second."""
    arguments = [sys.executable, "-I", "-S", guard.__file__]
    arguments += [str(call.folder), str(call.private), str(call.nice), "--"]
    arguments += command(call.binary, call.extra, call.folder, call.clips)
    output = _Output(call)
    with output.log.open("wb") as log:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=call.folder,
            env=environment(call),
            start_new_session=True,
        )
    try:
        code = _wait(process, output, is_stopped)
    finally:
        _end(process)
    output.read()
    return ProcessResult(
        code=code,
        begun=tuple(output.begun),
        results={index: path for index in range(len(call.clips)) if (path := output.result(index)) is not None},
        unopened=any(text in output.tail for text in command_line().unopened),
        tail=_last_words(output.tail, (call.folder, call.clips[0].parent)),
    )


def environment(call: ProcessCall) -> dict[str, str]:
    """The process gets few variables: it would draw on a display, and write numbers with commas in some locales."""
    given = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    # To import cv2 adds its own libraries, here or in the process that started this one.
    libraries = [str(call.binary.parent.parent / "lib"), *(one for one in given if "cv2" not in Path(one).parts)]
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


class _Output:
    """What a running process has written so far."""

    def __init__(self, call: ProcessCall) -> None:
        self._call = call
        self.log = call.folder / "log"
        self._position = 0  # in the log
        self._indices = {path.stem: index for index, path in enumerate(call.clips)}
        self._logged: list[int] = []
        self.begun: list[int] = []
        self.tail = ""

    def read(self) -> None:
        """Reads on. The log names each clip as it is begun; without a log, a clip is begun once its CSV exists."""
        with self.log.open("rb") as file:
            file.seek(self._position)
            while new := file.read(1 << 20):
                self._position += len(new)
                self._parse(self.tail + new.decode(errors="replace"))
        self.begun = self._logged or [i for i in range(len(self._call.clips)) if self.result(i) is not None]

    def _parse(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            _, begins, path = line.partition(command_line().begins)
            if begins and line.endswith("\n"):
                index = self._indices.get(Path(path.strip()).stem)
                if index is not None and index not in self._logged:
                    self._logged.append(index)
        self.tail = text[-4096:]

    def result(self, index: int) -> Path | None:
        """The CSV of a clip. An OpenFace that knows neither -of nor -out_dir writes to `processed`."""
        name = f"{self._call.clips[index].stem}.csv"
        paths = (self._call.folder / name, self._call.folder / "processed" / name)
        return next((path for path in paths if path.is_file() and not path.is_symlink()), None)

    def allowed(self) -> float:
        """Seconds that may pass until the next clip is begun or the process exits."""
        begun = self.begun
        return self._call.start_seconds + (self._call.seconds[begun[-1]] if begun else 0.0)


def _wait(process: subprocess.Popen[bytes], output: _Output, is_stopped: Callable[[], bool]) -> int | None:
    since, begun = time.monotonic(), 0
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if is_stopped():
            raise Stopped
        output.read()
        if len(output.begun) != begun:
            since, begun = time.monotonic(), len(output.begun)
        if time.monotonic() - since > output.allowed():
            return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Has the guard kill what still runs, and waits for it to exit."""
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
    """The end of the output, without OpenFace's progress counts and without private folders."""
    for folder in private:
        text = text.replace(f"{folder}/", "")
    begins = command_line().begins
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and begins not in line and not line.endswith("%")]
    return " / ".join(kept)[-TAIL:]
