"""The one family of errors that services raise. Each carries its gRPC status and a reason a machine can read.

`interceptor.py` maps them to gRPC once, for all services; clients map them back with `from_rpc_error`.
"""

from __future__ import annotations

from contextlib import suppress

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

ERROR_DOMAIN = "merrflow"
# Bytes of a message that travel. gRPC's clients refuse a status with more than 8 KiB of headers now and then, and one
# with more than 16 always: as RESOURCE_EXHAUSTED, which would be tried again. A byte takes up to 4 1/3 in two headers.
LONGEST_MESSAGE = 1500


class MerrflowError(Exception):
    """Root of all errors. `str(error)` is a sentence for people; `reason` is a stable word for machines."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason

    @property
    def retryable(self) -> bool:
        """True where the same request may succeed later or elsewhere."""
        return self.code in RETRYABLE

    def to_status(self) -> grpc.Status:
        """This error as a rich gRPC status (google.rpc.Status with ErrorInfo)."""
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=ERROR_DOMAIN))
        return rpc_status.to_status(
            status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=_cut(str(self)), details=[detail])
        )


class InvalidInput(MerrflowError):
    """The request can never be answered: bad media, a bad path, a bad value. Not retried."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_INPUT"


class UnreadableMedia(InvalidInput):
    """The bytes are not the video, sound or image they should be."""

    reason = "MEDIA_UNREADABLE"


class MissingStream(InvalidInput):
    """The file is sound, but has no video or no audio track."""

    reason = "STREAM_MISSING"


class TooLarge(InvalidInput):
    """More pixels, frames, seconds, bytes or tokens than the service takes."""

    reason = "TOO_LARGE"


class QueueFull(MerrflowError):
    """Too many requests wait. Back off and try again."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"


class ClientLimit(MerrflowError):
    """One client asks too much at once. Wait for answers, then go on."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "CLIENT_LIMIT"


class TooSlow(MerrflowError):
    """A request began and did not arrive in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "REQUEST_TOO_SLOW"


class Unauthenticated(MerrflowError):
    """The call carries no token, or not a good one. Not tried again."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "TOKEN_REFUSED"


class NotReady(MerrflowError):
    """The model is still loading, could not be loaded, or the service is draining."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "NOT_READY"


class EngineFault(MerrflowError):
    """The engine broke on input it should have taken: a bug here, not the caller's."""

    reason = "ENGINE_FAULT"


# Reasons for which an engine cannot be loaded now, and which pass or are mended outside of the service's process: room
# on the disk, the hub, its licence, files put in place. What only another setting or package mends is not among them.
PASSING = frozenset({"STORAGE", "HUB_UNREACHABLE", "MODEL_GATED", "MODEL_MISSING"})
RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    if len(data) > LONGEST_MESSAGE:
        data = data[: LONGEST_MESSAGE - 3] + b"..."
    return data.decode(errors="ignore")


def from_rpc_error(error: grpc.RpcError) -> MerrflowError:
    """The error a client received, with the code and reason the server sent."""
    code = error.code()
    reason = code.name
    status = None
    with suppress(ValueError, AttributeError):  # a status of another server, or none at all
        status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason = info.reason
    mapped = MerrflowError(error.details() or code.name, reason=reason)
    mapped.code = code
    return mapped
