"""How much one client may ask at once, how much all may have waiting in memory, and how long a request may take to
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

# Messages of one client's calls of one RPC that may arrive at once take at most this share of what all may hold. gRPC
# hands a message over when the last byte is there, so what came of it until then is in no count but this one.
ARRIVING_SHARE = 8


class Gate:
    """The limits of one service. `enter` for each request."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._at_once: Counter[str] = Counter()
        self._held = 0  # bytes of all requests that are not answered yet
        self._arriving_at_once = max(1, settings.max_held_mib // (ARRIVING_SHARE * settings.max_message_mib))
        self._arriving: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def enter(self, peer: str, rpc: str = "") -> Iterator[Visit]:
        """A request of a client, for as long as the block lasts. peer: as gRPC names it. Raises `ClientLimit`.

        rpc: one whose messages dawdle holds up no other of the same client.
        """
        client = client_of(peer)
        limit = self._settings.max_client_requests
        if self._at_once[client] >= limit:
            raise ClientLimit(f"{limit} requests of this client are not answered yet; wait for some of them")
        self._at_once[client] += 1
        visit = Visit(self, self._turns_of(client, rpc))
        try:
            yield visit
        finally:
            self._held -= visit.held
            self._at_once[client] -= 1
            if not self._at_once[client]:
                del self._at_once[client]

    def _turns_of(self, client: str, rpc: str) -> asyncio.Semaphore:
        """Kept as long as a visit has it."""
        found = self._arriving.get((client, rpc))
        if found is None:
            found = self._arriving[client, rpc] = asyncio.Semaphore(self._arriving_at_once)
        return found


class Visit:
    """One request within its gate."""

    def __init__(self, gate: Gate, turns: asyncio.Semaphore) -> None:
        self._gate = gate
        self._turns = turns  # for messages that arrive
        self.held = 0  # bytes

    async def arriving(self, parts: AsyncIterator[Message]) -> AsyncIterator[Any]:
        """The messages of a request as they come.

        Raises `TooSlow` where the next does not come, or all of them take too long; `QueueFull` where all requests
        together hold too much; `InvalidInput` for what is no message.
        """
        settings = self._gate._settings
        loop = asyncio.get_running_loop()
        end = loop.time() + settings.receive_seconds
        source = aiter(parts)
        while True:
            try:
                async with asyncio.timeout_at(end), self._turns:
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
        limit = self._gate._settings.max_held_mib
        others = self._gate._held - self.held
        if others and self._gate._held + size > limit * MIB:
            raise QueueFull(f"requests of {limit} MiB wait already; try again later")
        self.held += size
        self._gate._held += size


def client_of(peer: str) -> str:
    """Whose limit counts, from gRPC's "ipv4:10.0.0.7:5000": the machine, without the port of a connection."""
    return peer.rsplit(":", 1)[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
