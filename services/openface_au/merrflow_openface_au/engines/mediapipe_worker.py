"""A process that measures one video after the other for the service: `python -m ... SOCKET`, a pipe as standard input.

It ends with the service, however that ended: where the pipe's other end closes, the kernel sends SIGIO, whose default
is the end of the process, also in the middle of native code. Nothing is ever written to the pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import socket
import sys

from merrflow_openface_au.engines.worker_line import READY, SETTINGS, Line, answer_message, source_of
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import MerrflowError


def end_with(pipe: int) -> None:
    """From here on this process ends when the pipe's other end closes."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it closed before the line above
        os._exit(0)


def work(line: Line) -> None:
    """Loads the engine, says so, then answers until the line ends."""
    from merrflow_openface_au.engines.mediapipe import MediapipeEngine

    kind, body = line.receive()
    if kind != SETTINGS:
        raise ValueError("the first message is the settings")
    engine = MediapipeEngine(OpenFaceAuSettings.model_validate_json(body), decoder_threads=1)
    try:
        engine.load()
    except MerrflowError as error:
        line.send(*answer_message(error))
        return
    line.send(READY)
    while True:
        line.send(*answer_message(engine.run([source_of(*line.receive())])[0]))


def main(arguments: list[str]) -> None:
    end_with(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a video that crashes it shall not fill the disk
    with contextlib.suppress(EOFError, OSError):  # the service closed the line
        work(Line(socket.socket(fileno=int(arguments[0]))))
    os._exit(0)  # mediapipe's own end waits for threads, and prints


if __name__ == "__main__":
    main(sys.argv[1:])
