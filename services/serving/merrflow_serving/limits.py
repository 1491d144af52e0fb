"""How much one client may ask for at once, how much all requests may hold in memory, and how long one may take to
arrive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from google.protobuf.message import DecodeError, Message

from merrflow_serving.errors import ClientLimit, InvalidInput, QueueFull, TooSlow
from merrflow_serving.settings import MIB, ServiceSettings

# The messages of one client's calls of one RPC that may arrive at once take at most this share of what all may hold.
# gRPC hands a message over when its last byte is there, so what has arrived of it before is counted nowhere else.
ARRIVING_SHARE = 8


class Gate:
    """The limits of one service. `enter` for each request."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._at_once: Counter[str] = Counter()
        self._memory = _Memory(settings.max_held_mib)
        self._arriving_at_once = max(1, settings.max_held_mib // (ARRIVING_SHARE * settings.max_message_mib))
        self._arriving: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def enter(self, peer: str, rpc: str = "") -> Iterator[Visit]:
        """A request of a client, for as long as the block lasts. peer: as gRPC names it. Raises `ClientLimit`.

        rpc: calls of one RPC whose messages are slow to arrive delay no other RPC of the same client.
        """
        client = client_of(peer)
        limit = self._settings.max_client_requests
        if self._at_once[client] >= limit:
            raise ClientLimit(f"{limit} requests of this client are not answered yet; wait for some of them")
        self._at_once[client] += 1
        visit = Visit(self._settings, self._memory, self._arriving_of(client, rpc))
        try:
            yield visit
        finally:
            visit.leave()
            self._at_once[client] -= 1
            if not self._at_once[client]:
                del self._at_once[client]

    def _arriving_of(self, client: str, rpc: str) -> asyncio.Semaphore:
        """Exists as long as a visit holds it."""
        found = self._arriving.get((client, rpc))
        if found is None:
            found = self._arriving[client, rpc] = asyncio.Semaphore(self._arriving_at_once)
        return found


class _Memory:
    """What all requests hold together that are not answered yet."""

    def __init__(self, limit_mib: int) -> None:
        self._limit_mib = limit_mib
        self._held = 0  # bytes

    def hold(self, size: int, own: int) -> None:
        """size: further bytes of a request that holds `own` already. One request alone may exceed the limit.

        Raises `QueueFull`.
        """
        if self._held > own and self._held + size > self._limit_mib * MIB:
            raise QueueFull(f"requests of {self._limit_mib} MiB wait already; try again later")
        self._held += size

    def release(self, size: int) -> None:
        self._held -= size


class Visit:
    """One request inside its gate."""

    def __init__(self, settings: ServiceSettings, memory: _Memory, arriving: asyncio.Semaphore) -> None:
        self._settings = settings
        self._memory = memory
        self._arriving = arriving
        self._held = 0  # bytes

    async def arriving(self, parts: AsyncIterator[Message]) -> AsyncIterator[Any]:
        """The messages of a request as they come.

        Raises `TooSlow` if the next message does not come or all of them take too long, `QueueFull` if all requests
        together hold too much, `InvalidInput` for bytes that are not a message.
        """
        settings = self._settings
        loop = asyncio.get_running_loop()
        end = loop.time() + settings.receive_seconds
        source = aiter(parts)
        while True:
            try:
                async with asyncio.timeout_at(end), self._arriving:
                    async with asyncio.timeout_at(min(end, loop.time() + settings.idle_seconds)):
                        part = await anext(source, None)
            except TimeoutError:
                raise TooSlow(
                    f"the request did not arrive: at most {settings.idle_seconds:g} s may pass between two messages, "
                    f"and {settings.receive_seconds:g} s in all"
                ) from None
            except DecodeError:
                raise InvalidInput("the bytes are no message of this call") from None
            if part is None:
                return
            self._hold(part.ByteSize())
            yield part

    def _hold(self, size: int) -> None:
        self._memory.hold(size, self._held)
        self._held += size

    def leave(self) -> None:
        """The request is answered: what it held is free."""
        self._memory.release(self._held)
        self._held = 0


def client_of(peer: str) -> str:
    """Whose limit counts, from gRPC's "ipv4:10.0.0.7:5000": the machine, without the port of the connection."""
    return peer.rsplit(":", 1)[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
