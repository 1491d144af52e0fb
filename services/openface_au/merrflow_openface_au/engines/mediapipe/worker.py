"""A process that measures one video after the other for the service.

Run as `python -m merrflow_openface_au.engines.mediapipe.worker SOCKET MODULE CLASS`, with a pipe as standard input;
module and class are the engine's.

It ends with the service, however that ended: when the pipe's other end closes, the kernel sends SIGIO, whose default
action is to end the process, even inside native code. Nothing is ever written to the pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import resource
import select
import socket
import sys
from typing import TYPE_CHECKING

from merrflow_openface_au.engines.mediapipe.worker_protocol import (
    READY,
    SETTINGS,
    STOP,
    Channel,
    answer_message,
    source_of,
)
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import MerrflowError

if TYPE_CHECKING:
    from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine


def end_with(pipe: int) -> None:
    """From now on this process ends when the pipe's other end closes."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it closed before the line above
        os._exit(0)


def work(channel: Channel, module: str, name: str) -> None:
    """Loads the engine, reports READY, then answers until the channel is closed."""
    kind, body = channel.receive()
    if kind != SETTINGS:
        raise ValueError("the first message must be the settings")
    kind_of_engine: type[MediapipeEngine] = getattr(importlib.import_module(module), name)
    engine = kind_of_engine(OpenFaceAuSettings.model_validate_json(body), decoder_threads=1)
    try:
        engine.load()
    except MerrflowError as error:
        channel.send(*answer_message(error))
        return
    channel.send(READY)
    while True:
        kind, body = channel.receive()
        if kind == STOP:  # it came when the video was finished
            continue
        # While a video is in work nothing else comes.
        answer = engine.run([source_of(kind, body)], lambda place: not channel.has_message())[0]
        channel.send(*answer_message(answer))


def main(arguments: list[str]) -> None:
    end_with(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a video that crashes it must not fill the disk
    with contextlib.suppress(EOFError, OSError):  # the service closed the channel
        work(Channel(socket.socket(fileno=int(arguments[0]))), *arguments[1:])
    os._exit(0)  # mediapipe's own shutdown waits for threads, and prints


if __name__ == "__main__":
    main(sys.argv[1:])
