"""The service's side of a worker process: starts it, sends it videos, ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping

from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.worker_protocol import (
    READY,
    SETTINGS,
    STOP,
    Channel,
    answer_of,
    source_message,
)
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.errors import MerrflowError

PROGRAM = "merrflow_openface_au.engines.mediapipe.worker"
LOOK_SECONDS = 0.1  # between two looks whether a video is still wanted
# The settings that a worker needs.
NEEDED = (
    "max_frames",
    "max_pixels",
    "max_faces",
    "face_landmarker",
    "mapping",
    "predictors_folder",
    "models_dir",
    "expression_every",
    "embedding_every",
)


class WorkerExited(Exception):
    """The process exited or could not be started; the text says how."""


class WorkerProcess:
    """One process with a loaded engine. One thread at a time may use it; `kill` may come from any thread."""

    def __init__(self, settings: OpenFaceAuSettings, engine: type[MediapipeEngine] = MediapipeEngine) -> None:
        """Starts the process and loads its engine: 1 to 2 s of CPU time.

        Raises `WorkerExited`, or the engine's `NotReady`.
        """
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROGRAM, str(theirs.fileno()), engine.__module__, engine.__name__],
                    stdin=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                    env=_without_secrets(os.environ),
                    start_new_session=True,  # Ctrl-C is for the service, which ends its workers after draining
                )
        except OSError as error:
            self._channel.close()
            raise WorkerExited(f"cannot be started: {error.strerror}") from error
        try:
            reply = self._ask(SETTINGS, settings.model_dump_json(include=set(NEEDED)).encode())
        except WorkerExited:
            self.close()
            raise
        if reply[0] != READY:
            self.close()
            answer = answer_of(*reply)
            raise answer if isinstance(answer, MerrflowError) else WorkerExited("sent an unexpected message")

    @property
    def pid(self) -> int:
        return self._process.pid

    def measure(self, source: Source, is_wanted: Callable[[], bool]) -> VideoResult | MerrflowError:
        """A video's result or error; `Abandoned` soon after it is not wanted any more.

        Raises `WorkerExited` if the process exits meanwhile.
        """
        return answer_of(*self._ask(*source_message(source), is_wanted))

    def kill(self) -> None:
        """Ends the process at once; a thread that waits for it gets `WorkerExited`."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Ends the process and closes its pipe and channel."""
        self.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._channel.close()

    def _ask(self, kind: bytes, body: bytes, is_wanted: Callable[[], bool] = lambda: True) -> tuple[bytes, bytes]:
        try:
            self._channel.send(kind, body)
            while is_wanted():
                if self._channel.has_message(LOOK_SECONDS):
                    return self._channel.receive()
            self._channel.send(STOP)
            return self._channel.receive()
        except (EOFError, OSError) as error:
            code = self._process.wait()
            how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise WorkerExited(how) from error


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The worker reads untrusted media and calls no service, so it gets no credentials."""
    return {name: value for name, value in environment.items() if not name.endswith(("TOKEN", "PASSWORD", "KEY"))}
