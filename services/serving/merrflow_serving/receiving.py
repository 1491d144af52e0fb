"""Media and streamed requests as they arrive: size limits, and which files a path may name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from structlog.contextvars import bind_contextvars

from merrflow.common.v1 import common_pb2
from merrflow_serving.errors import InvalidInput, TooLarge
from merrflow_serving.settings import ServiceSettings

LONGEST_PATH = 4096  # characters; Linux accepts as many bytes (PATH_MAX)


def media_source(media: common_pb2.Media, settings: ServiceSettings) -> Path | bytes:
    """The media's bytes, or its path if that is a file under one of the media roots.

    Raises `InvalidInput` for a path that may not be read and for a request without media, and `TooLarge`.
    """
    kind = media.WhichOneof("source")
    if kind is None:
        raise InvalidInput("the request has no media: set `data` or `path`")
    if kind == "path":
        return _under_root(media.path, settings)
    _check_size(len(media.data), settings)
    return media.data


async def receive(parts: AsyncIterator[Any], *, field: str, settings: ServiceSettings) -> Any:
    """Assembles a streamed request: the request of the first part, with the chunks of the others as `field`'s data.

    Raises `InvalidInput` if the parts come in another order, and `TooLarge`.
    """
    request = None
    data = bytearray()
    async for part in parts:
        kind = part.WhichOneof("part")
        if (kind == "request") != (request is None):
            raise InvalidInput("a stream is one request and then its chunks")
        if kind == "request":
            request = part.request
            bind_contextvars(clip=request.clip)
            continue
        data += part.chunk
        _check_size(len(data), settings)
    if request is None:
        raise InvalidInput("the stream is empty")
    if data:
        getattr(request, field).data = bytes(data)
    return request


def _check_size(size: int, settings: ServiceSettings, what: str = "the media have") -> None:
    if size > settings.max_media_bytes:
        raise TooLarge(f"{what} more than {settings.max_media_mib} MiB")


def _under_root(text: str, settings: ServiceSettings) -> Path:
    if "\0" in text:
        raise InvalidInput("a path cannot hold a zero byte", reason="PATH_REFUSED")
    if len(text) > LONGEST_PATH:  # resolving a path takes time quadratic in its length
        raise InvalidInput(f"the path has more than {LONGEST_PATH} characters", reason="PATH_REFUSED")
    try:
        path = Path(text).resolve()  # resolves links and `..`, so that neither leads out of a root
        path.lstat()
    except FileNotFoundError:
        pass  # reported below, and only for what would be under a root
    except (OSError, RuntimeError) as error:  # a name that is too long, a loop of links
        raise InvalidInput("the path cannot be followed", reason="PATH_REFUSED") from error
    if not any(path.is_relative_to(root) for root in settings.media_roots):
        raise InvalidInput(
            f"{text} is not below a media root of this service; send the bytes, or set "
            f"{settings.variable('MEDIA_ROOTS')}",
            reason="PATH_REFUSED",
        )
    if not path.is_file():
        raise InvalidInput(f"{text} is not a file here", reason="PATH_REFUSED")
    _check_size(path.stat().st_size, settings, f"{text} has")
    return path
