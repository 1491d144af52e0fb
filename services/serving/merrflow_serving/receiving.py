"""Media and streamed requests as they arrive: size limits, and which files a path may name."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
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
    path = _readable(text, settings.media_roots)
    if path is None:  # the same words for all reasons: they would say what files there are elsewhere
        raise InvalidInput(
            f"{text!r:.300} is no file below a media root of this service that it can read; send the bytes, or "
            f"set {settings.variable('MEDIA_ROOTS')}",
            reason="PATH_REFUSED",
        )
    _check_size(path.stat().st_size, settings, f"{text} has")
    return path


def _readable(text: str, roots: Sequence[Path]) -> Path | None:
    """The file, if it is one below a root and can be read. Links and `..` are resolved: none leads out of it."""
    if len(text) > LONGEST_PATH:  # resolving a path takes time quadratic in its length
        return None
    try:
        path = Path(text).resolve(strict=True)
        is_below = any(path.is_relative_to(root) for root in roots)
        return path if is_below and path.is_file() and os.access(path, os.R_OK) else None
    except (OSError, RuntimeError, ValueError):  # no such file, no permission, a loop of links, a zero byte
        return None
