"""The errors that services raise. Each carries its gRPC status and a machine-readable reason.

`interceptor.py` maps them to gRPC once, for all services; clients map them back with `from_rpc_error`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    from pydantic import ValidationError

ERROR_DOMAIN = "merrflow"
# What grpc.aio says, as INTERNAL and instead of the server's status, if the server ended the call while the client was
# writing (grpc/grpc issue 36066; one in ten of such calls in a trial with grpcio 1.85).
STATUS_LOST = "Internal error from Core"
# Bytes of a message that are sent. gRPC's clients sometimes refuse a status with more than 8 KiB of headers, and always
# one with more than 16: as RESOURCE_EXHAUSTED, which would be retried. A byte takes up to 4 1/3 bytes in two headers.
LONGEST_MESSAGE = 1500


class MerrflowError(Exception):
    """Base of all errors. `str(error)` is a sentence for people; `reason` is a stable word for programs."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, code: grpc.StatusCode | None = None) -> None:
        """reason, code: instead of those of the class."""
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        if code is not None:
            self.code = code

    @property
    def retryable(self) -> bool:
        """True if the same request may succeed later or elsewhere."""
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
    """The bytes are not a video, sound or image file that can be decoded."""

    reason = "MEDIA_UNREADABLE"


class MissingStream(InvalidInput):
    """The file can be read, but has no video or no audio track."""

    reason = "STREAM_MISSING"


class TooLarge(InvalidInput):
    """More pixels, frames, seconds, bytes or tokens than the service accepts."""

    reason = "TOO_LARGE"


class TooManyPixels(TooLarge):
    """More pixels in a picture than its reader's setting `max_pixels`."""


class TooManyFrames(TooLarge):
    """More frames in a video than its reader's setting `max_frames`."""


class QueueFull(MerrflowError):
    """Too many requests are waiting. Back off and retry."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"


class ClientLimit(MerrflowError):
    """One client has too many requests at once. Wait for answers before sending more."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "CLIENT_LIMIT"


class TooSlow(MerrflowError):
    """A request began and did not arrive in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "REQUEST_TOO_SLOW"


class Unauthenticated(MerrflowError):
    """The call carries no token, or a wrong one. Not retried."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "TOKEN_REFUSED"


class NotReady(MerrflowError):
    """The model is still loading, could not be loaded, or the service is draining."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "NOT_READY"


class EngineFault(MerrflowError):
    """The engine failed on valid input: a bug of the service, not of its caller."""

    reason = "ENGINE_FAULT"


class StreamEnded(MerrflowError):
    """The service ended a request that was still being sent, and its reason was lost on the way. Send it again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "STREAM_ENDED"


class Abandoned(MerrflowError):
    """An engine stopped, because the caller has left. So no client sees it."""

    code = grpc.StatusCode.CANCELLED
    reason = "ABANDONED"

    def __init__(self, message: str = "the caller has left", **given: Any) -> None:
        super().__init__(message, **given)


# Reasons why an engine cannot be loaded, that may be resolved while the service runs: disk space, the hub, its licence,
# missing or unreadable files, other models on the card, an endpoint that is away. What needs another setting
# or package is not among them.
PASSING = frozenset(
    {
        "STORAGE",
        "HUB_UNREACHABLE",
        "MODEL_GATED",
        "MODEL_MISSING",
        "MODEL_UNREADABLE",
        "CARD_FULL",
        "ENDPOINT_UNREACHABLE",
    }
)
RETRYABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
)


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    if len(data) > LONGEST_MESSAGE:
        data = data[: LONGEST_MESSAGE - 3] + b"..."
    return data.decode(errors="ignore")


def from_rpc_error(error: grpc.RpcError) -> MerrflowError:
    """The error a client received, with the code and reason that the server sent."""
    code = error.code()
    if code is grpc.StatusCode.INTERNAL and error.details() == STATUS_LOST:
        return StreamEnded("the service ended the request before all of it was sent")
    reason = code.name
    status: Any = None
    with suppress(ValueError, AttributeError):  # a status from another server, or no call at all
        status = rpc_status.from_call(cast(grpc.Call, error))  # every error of a call is its call too
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason = info.reason
    return MerrflowError(error.details() or code.name, reason=reason, code=code)


def first_fault(error: ValidationError, whole: str = "") -> str:
    """The first fault in one line, after its place; `whole` is the place of a fault that is of no field."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or whole
    return f"{place}: {first['msg']}" if place else first["msg"]


def one_line(error: BaseException) -> str:
    """The error's type and message in one line, for a message about code that is not ours."""
    try:
        text = str(error)
    except Exception:
        text = "it cannot say how"
    return as_line(f"{type(error).__name__}: {text}").removesuffix(":")


def as_line(text: str) -> str:
    """A text of others as one line that can be sent and printed."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text, which half a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
