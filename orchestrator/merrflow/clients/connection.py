"""A connection to one service: to as many replicas as its address leads to.

A call waits its turn (no more in flight than the replicas can queue), is tried again while the service is away or
full, at another replica if there is one, and raises `MerrflowError` with the reason the service gave.

gRPC's own `retryPolicy` does not do for this. It sends a call again on the same channel without a word to its caller:
a clip that kills its engine would kill it up to five times each time it is sent, beside calls that share its fate
(measured with grpcio 1.85: six starts of the service for one call), and a call that was turned away by a full or
draining replica would never try another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from merrflow.clients.events import EventKind, ServiceEvent
from merrflow.clients.replica import Replica, State
from merrflow.clients.replicas import Replicas
from merrflow.clients.rpc import Rpc, rpc_taking, rpcs, streamed
from merrflow.common.v1 import common_pb2
from merrflow.core.settings import RunSettings
from merrflow.core.signal import Signal
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady, QueueFull, from_rpc_error

MAX_LOSSES = 4  # tries at a call in which the connection is lost: two beside others, and two alone
LOSSES_IN_COMPANY = 2
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between tries while all are full
TURNED_AWAY_SECONDS = 1.0  # what a try that no model worked on takes of `retry_seconds`
DEFAULT_MESSAGE_BYTES = 4 << 20  # gRPC's own limit, for a service that does not say its own
ROOM_FOR_FIELDS = 1024  # bytes of a message that the size of its media does not count

Request = Message | Callable[[], AsyncIterator[Message]]


class _ConnectionLost(Exception):
    """The connection to a replica broke. `was_sent`: in the middle of the call, which may be the cause."""

    def __init__(self, details: str, *, was_sent: bool) -> None:
        super().__init__(details)
        self.was_sent = was_sent


class Connection:
    """One service, as its callers see it."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: RunSettings,
        events: Signal[[ServiceEvent]] | None = None,
        given_by: str = "",
    ) -> None:
        """address: host:port, a name of several hosts, or a list of them with commas. events: told of lost replicas
        and of calls that are tried again. given_by: the setting that has the address, for messages; by default the
        service's own."""
        self.name = name
        self.address = address
        self.info = common_pb2.InfoResponse()  # what the service says of itself, once connected
        self._events: Signal[[ServiceEvent]] = events or Signal()
        self.replicas = Replicas(name, address, settings, self._events, given_by)
        self._settings = settings

    async def connect(self) -> None:
        """Asks every replica about itself.

        Raises `NotReady` with what to do if none answers, `ReplicasDiffer` if they do not run the same.
        """
        try:
            await self.replicas.open()
        finally:
            self.info.CopyFrom(self.replicas.reference)

    async def wait_ready(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Returns once a replica is warm. Raises `NotReady` with its problem, or after `ready_seconds`.

        say: called with what the service does meanwhile, each time that changes.
        """
        try:
            await self.replicas.wait_ready(say)
        finally:
            self.info.CopyFrom(self.replicas.reference)

    async def send(self, request: Message, media: bytes | None = None) -> Any:
        """Calls the RPC that takes this request, and returns its answer.

        media: goes into the request, or beside it as a stream above the service's message limit. Raises as `unary`.
        """
        rpc, clip = rpc_taking(request), getattr(request, "clip", "")
        if media is None:
            return await self.unary(rpc.name, request, clip)
        limit = self.info.limits.max_message_bytes or DEFAULT_MESSAGE_BYTES
        if len(media) + request.ByteSize() + ROOM_FOR_FIELDS <= limit:
            getattr(request, rpc.media).data = media
            return await self.unary(rpc.name, request, clip)
        return (await self.unary(f"{rpc.name}Stream", lambda: streamed(rpc, request, media), clip)).response

    async def unary(self, name: str, request: Request, clip: str = "") -> Any:
        """One call of an RPC with one answer, in its turn, tried again while the service is full or restarts.

        request: a message, or a function that gives a stream of them for each try. clip: for events.
        Raises the service's error; `ServiceGone` if it stays away; `EngineFault` if the connection was lost in the
        middle of this call again and again, as it is when its clip crashes the engine.
        """
        rpc = rpcs(self.name)[name]
        now = asyncio.get_running_loop().time
        losses = refusals = 0
        spent = 0.0  # seconds of tries that came to nothing; waiting for a replica to come back is not among them
        replica = None
        while True:
            # Whoever was in flight when a connection broke may have broken it. Such calls go on one at a time on a
            # replica, so that only the one that does it is lost again. When many do it, a new one may have been
            # beside it, so after the second time a call works quite alone.
            alone = losses >= LOSSES_IN_COMPANY
            async with self.replicas.borrow(avoid=replica, is_suspect=losses > 0, alone=alone) as replica:
                started, pause = now(), 0.0
                try:
                    return await self._try(replica, rpc, request)
                except _ConnectionLost as error:
                    self.replicas.drop(replica, State.AWAY, str(error))
                    losses += error.was_sent
                    if losses == MAX_LOSSES:
                        raise EngineFault(
                            f"the service {self.name} went away each time it worked on this clip"
                        ) from None
                    self._tell_retry(clip, f"the connection was lost ({error})")
                    continue
                except MerrflowError as error:
                    if not error.retryable:
                        raise
                    refusal = error
                    if isinstance(error, NotReady):
                        spent += TURNED_AWAY_SECONDS
                    else:
                        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**refusals) + random.random()
                        refusals += 1
                self._tell_retry(clip, str(refusal))
                spent += now() - started + pause
            if spent > self._settings.retry_seconds:
                raise refusal
            await asyncio.sleep(pause)  # another call may have the replica meanwhile

    def _tell_retry(self, clip: str, reason: str) -> None:
        self._events(ServiceEvent(EventKind.RETRY, self.name, f"{self.name} is asked again: {reason}", clip))

    async def _try(self, replica: Replica, rpc: Rpc, request: Request) -> Any:
        if not replica.is_connected:
            raise _ConnectionLost("no connection", was_sent=False)
        try:
            reply = await self._sent(replica, rpc, request)
        except grpc.aio.AioRpcError as error:
            cause = from_rpc_error(error)
            if cause.reason == NotReady.reason:  # it drains, or was started anew
                self.replicas.drop(replica, State.LOADING, str(cause))
                raise NotReady(str(cause)) from error
            if cause.reason == grpc.StatusCode.CANCELLED.name:  # by gRPC: too many wait for the service
                raise QueueFull(f"the service {self.name} takes no more calls at once; try again later") from error
            if cause.reason == grpc.StatusCode.UNAVAILABLE.name:  # by the transport, not by the service
                raise _ConnectionLost(str(cause), was_sent=True) from error
            raise cause from error
        if reply is None:  # what gRPC returns if the bytes are no message
            raise EngineFault(f"the service {self.name} gave an answer that is not of its API")
        if not self.replicas.accepts(replica, getattr(reply, "response", reply).engine):
            raise NotReady(f"the service {self.name} at {replica.address} runs another engine than at first")
        return reply

    async def _sent(self, replica: Replica, rpc: Rpc, request: Request) -> Any:
        write, read, timeout = rpc.request.SerializeToString, rpc.reply.FromString, self._settings.call_seconds
        if callable(request):
            return await replica.channel.stream_unary(rpc.path, write, read)(request(), timeout=timeout)
        return await replica.channel.unary_unary(rpc.path, write, read)(request, timeout=timeout)

    async def close(self) -> None:
        await self.replicas.close()
