"""What the service and its worker processes say to each other, over a socket that they alone hold.

A message is a kind (one byte), a length and a body: bytes or JSON, never anything that could carry code.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

from pydantic import TypeAdapter

from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving import errors
from merrflow_serving.errors import MerrflowError

_HEAD = struct.Struct("!cQ")
_RESULT = TypeAdapter(VideoResult)
SETTINGS, PATH, BYTES, RESULT, ERROR, READY = (kind.encode() for kind in "SPBREY")


class Line:
    """One end. Raises OSError or EOFError where the other end is gone."""

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

    def _read(self, length: int) -> bytes:
        body, at = bytearray(length), 0
        view = memoryview(body)
        while at < length:
            got = self._end.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return bytes(body)


def source_message(source: Source) -> tuple[bytes, bytes]:
    """A video on its way to a worker."""
    return (BYTES, source) if isinstance(source, bytes) else (PATH, os.fsencode(source))


def source_of(kind: bytes, body: bytes) -> Source:
    return body if kind == BYTES else Path(os.fsdecode(body))


def answer_message(answer: VideoResult | MerrflowError) -> tuple[bytes, bytes]:
    """A result or an error on its way back. Numbers keep every digit."""
    if isinstance(answer, VideoResult):
        return RESULT, _RESULT.dump_json(answer)
    told = {"type": type(answer).__name__, "reason": answer.reason, "text": str(answer)}
    return ERROR, json.dumps(told).encode()


def answer_of(kind: bytes, body: bytes) -> VideoResult | MerrflowError:
    """Errors come back as what they were, where they are one of `merrflow_serving.errors`."""
    if kind == RESULT:
        return _RESULT.validate_json(body)
    told = json.loads(body)
    known = getattr(errors, told["type"], None)
    is_error = isinstance(known, type) and issubclass(known, MerrflowError)
    return (known if is_error else MerrflowError)(told["text"], reason=told["reason"])
