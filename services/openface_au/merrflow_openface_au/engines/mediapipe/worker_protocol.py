"""The messages between the service and its worker processes, over a private socket.

A message is a kind (one byte), a length and a body: bytes or JSON, never anything that could carry code.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from pathlib import Path

from pydantic import TypeAdapter

from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving import errors
from merrflow_serving.errors import MerrflowError

_HEAD = struct.Struct("!cQ")
_RESULT = TypeAdapter(VideoResult)
SETTINGS, PATH, BYTES, RESULT, ERROR, READY = b"S", b"P", b"B", b"R", b"E", b"Y"
STOP = b"X"  # nobody waits any more for the video that was sent last; the worker answers it all the same, soon


class Channel:
    """One end of the socket. Raises OSError or EOFError if the other end is gone."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def close(self) -> None:
        self._end.close()

    def send(self, kind: bytes, body: bytes = b"") -> None:
        self._end.sendall(_HEAD.pack(kind, len(body)))
        self._end.sendall(body)

    def receive(self) -> tuple[bytes, bytes]:
        kind, length = _HEAD.unpack(self._read(_HEAD.size))
        return kind, self._read(length)

    def has_message(self, seconds: float = 0.0) -> bool:
        """Whether something can be received, or the other end is gone; waits for it up to `seconds`."""
        poll = select.poll()  # unlike `select`, it takes any number of open files
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _read(self, length: int) -> bytes:
        body, at = bytearray(length), 0
        view = memoryview(body)
        while at < length:
            received = self._end.recv_into(view[at:])
            if not received:
                raise EOFError
            at += received
        return bytes(body)


def source_message(source: Source) -> tuple[bytes, bytes]:
    """A video as a message to a worker."""
    return (BYTES, source) if isinstance(source, bytes) else (PATH, os.fsencode(source))


def source_of(kind: bytes, body: bytes) -> Source:
    """The inverse of `source_message`."""
    return body if kind == BYTES else Path(os.fsdecode(body))


def answer_message(answer: VideoResult | MerrflowError) -> tuple[bytes, bytes]:
    """A result or an error as a message to the service. Numbers keep every digit."""
    if isinstance(answer, VideoResult):
        return RESULT, _RESULT.dump_json(answer)
    content = {"type": type(answer).__name__, "reason": answer.reason, "text": str(answer)}
    return ERROR, json.dumps(content).encode()


def answer_of(kind: bytes, body: bytes) -> VideoResult | MerrflowError:
    """The inverse of `answer_message`; an error that is none of `merrflow_serving.errors` becomes a `MerrflowError`."""
    if kind == RESULT:
        return _RESULT.validate_json(body)
    content = json.loads(body)
    known = getattr(errors, content["type"], None)
    kind_of_error = known if isinstance(known, type) and issubclass(known, MerrflowError) else MerrflowError
    return kind_of_error(content["text"], reason=content["reason"])
