"""The service's side of a worker process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

from merrflow_openface_au.engines.worker_line import READY, SETTINGS, Line, answer_of, source_message
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.errors import MerrflowError

PROGRAM = "merrflow_openface_au.engines.mediapipe_worker"
NEEDED = ("max_frames", "max_pixels", "max_faces", "face_landmarker", "mapping")  # of the settings, by a worker


class WorkerEnded(Exception):
    """It ended, or could not be started; the text says how."""


class Worker:
    """One process with a loaded engine. One thread at a time asks it; `kill` may come from any."""

    def __init__(self, settings: OpenFaceAuSettings) -> None:
        """Starts and loads it: 1 to 2 s of processor time. Raises `WorkerEnded`, or the engine's `NotReady`."""
        ours, theirs = socket.socketpair()
        self._line = Line(ours)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROGRAM, str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                    env=_without_secrets(os.environ),
                    start_new_session=True,  # Ctrl-C is for the service, which ends its workers after draining
                )
        except OSError as error:
            self._line.close()
            raise WorkerEnded(f"cannot be started: {error.strerror}") from error
        try:
            told = self._ask(SETTINGS, settings.model_dump_json(include=set(NEEDED)).encode())
        except WorkerEnded:
            self.close()
            raise
        if told[0] != READY:
            self.close()
            answer = answer_of(*told)
            raise answer if isinstance(answer, MerrflowError) else WorkerEnded("said what nobody asked")

    @property
    def pid(self) -> int:
        return self._process.pid

    def measure(self, source: Source) -> VideoResult | MerrflowError:
        """Raises `WorkerEnded` where it ends meanwhile."""
        return answer_of(*self._ask(*source_message(source)))

    def kill(self) -> None:
        """Ends it at once; a thread that waits for it gets `WorkerEnded`."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Ends it and frees what it held."""
        self.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._line.close()

    def _ask(self, kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        try:
            self._line.send(kind, body)
            return self._line.receive()
        except (EOFError, OSError) as error:
            code = self._process.wait()
            how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise WorkerEnded(how) from error


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """It reads untrusted media and calls nobody."""
    return {name: value for name, value in environment.items() if not name.endswith(("TOKEN", "PASSWORD", "KEY"))}
