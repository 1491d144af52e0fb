"""Requests that Prefect's server could not write into its SQLite are asked again, as its own clients do.

Prefect (3.8) creates a flow run in a transaction that reads first. If another request writes in between, SQLite refuses
at once, whatever its timeout (SQLITE_BUSY_SNAPSHOT, https://www.sqlite.org/rescode.html), and the server undoes the
transaction and answers 503. Its Python client waits and repeats; its pages do not: they show an error to the person who
clicked "Submit".
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WAITS = (0.0, 0.1, 0.2, 0.4, 0.8)  # seconds before the request is asked again; then once more
BODY_BYTES = 1 << 20  # of a request that is kept for that; a larger one is asked once


class AskedAgain:
    """ASGI middleware around Prefect's application."""

    def __init__(self, app: ASGIApp, waits: tuple[float, ...] = WAITS) -> None:
        self._app = app
        self._waits = waits
        self._one = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in WRITES:
            await self._app(scope, receive, send)
            return
        messages = await _read(receive)
        if not _whole(messages):
            await self._app(scope, _replayed(messages, receive), send)
        elif await self._refused(scope, _replayed(messages, receive), send):
            async with self._one:  # else those that are asked again refuse each other
                for wait in self._waits:
                    await asyncio.sleep(wait)
                    if not await self._refused(scope, _replayed(messages, receive), send):
                        return
                await self._app(scope, _replayed(messages, receive), send)

    async def _refused(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> bool:
        """Whether the answer was that the database is busy; any other has been sent."""
        busy = False

        async def unless_busy(message: Message) -> None:
            nonlocal busy
            if message["type"] == "http.response.start":
                busy = message["status"] == HTTPStatus.SERVICE_UNAVAILABLE
            if not busy:
                await send(message)

        try:
            await self._app(dict(scope), receive, unless_busy)  # a copy, because routing writes into it
        except Exception:  # Starlette answers, then raises, so that the server logs it
            if not busy:
                raise
        return busy


async def _read(receive: Receive) -> list[Message]:
    """The request up to its end, or up to the most that is kept."""
    messages: list[Message] = []
    size = 0
    while size <= BODY_BYTES:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if not messages[-1].get("more_body"):  # the end, or a client that has gone
            break
    return messages


def _whole(messages: list[Message]) -> bool:
    return not messages[-1].get("more_body")


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    """What was read, from its beginning, then what is still to come."""
    kept = iter(messages)

    async def replay() -> Message:
        return next(kept, None) or await receive()

    return replay
