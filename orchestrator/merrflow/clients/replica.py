"""One replica of a service: its channel, what it last said of itself, and what it is good for."""

from __future__ import annotations

import asyncio
from enum import StrEnum

import grpc

from merrflow.clients.credentials import open_channel, why_refused
from merrflow.clients.identity import Statement
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.settings import RunSettings

INFO_SECONDS = 5.0  # that a replica has to answer `Info`, before it counts as silent
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A dead machine or a cut network is noticed in the middle of a long call after 30 + 20 seconds. The second is
    # not `keepalive_timeout_ms`: that one changes nothing (measured with grpcio 1.85).
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # A replica that comes back is found within seconds.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
]


class State(StrEnum):
    """What a replica is good for. Only a READY one gets calls."""

    READY = "ready"
    LOADING = "not ready"  # its model loads, or it drains
    BROKEN = "cannot work"  # and says why
    REFUSED = "refused"  # it runs another engine than the others
    SILENT = "silent"  # connected, but slow to answer `Info`
    AWAY = "away"


class InfoFailed(Exception):
    """A replica did not answer `Info`. `state`: what that means for it."""

    def __init__(self, state: State, details: str | None) -> None:
        super().__init__(details or "no answer")
        self.state = state


class Replica:
    """One address of a service."""

    def __init__(self, target: str, host: str, settings: RunSettings) -> None:
        """target: of gRPC, such as "ipv4:172.18.0.4:50054". host: as the settings name it.

        Raises `NotReady` if the settings' certificates or token cannot be used.
        """
        self.address = target.removeprefix("ipv4:").removeprefix("ipv6:")
        self.channel = open_channel(target, host, CHANNEL_OPTIONS, settings)
        self.state = State.AWAY
        self.problem = ""
        self.refusal = ""  # why it does not let this client in
        self.info = common_pb2.InfoResponse()
        self.times_asked = 0  # for `Info`
        self.is_listed = True  # the name still leads to it
        self.in_flight = 0
        self.has_suspect = False  # a call that may have broken a connection is at work
        self.last_call = 0  # number of the call that it got last
        self.ask_now = asyncio.Event()  # set: its `Info` is asked for without waiting for the next time
        self._engine = common_pb2_grpc.EngineStub(self.channel)

    @property
    def statement(self) -> Statement:
        return Statement(self.address, self.info)

    @property
    def room(self) -> int:
        """Calls that it takes at once: one batch in work, one waiting, so that the model never waits for the flow."""
        return max(2, 2 * self.info.limits.max_batch_size)

    @property
    def has_room(self) -> bool:
        return self.in_flight < self.room

    @property
    def load(self) -> float:
        """Share of its room that is taken."""
        return self.in_flight / self.room

    def begin_call(self, number: int, is_suspect: bool) -> None:
        """A call is given to it."""
        self.last_call = number
        self.in_flight += 1
        self.has_suspect = self.has_suspect or is_suspect

    def end_call(self, is_suspect: bool) -> None:
        """A call has ended."""
        self.in_flight -= 1
        self.has_suspect = self.has_suspect and not is_suspect

    def become(self, state: State, problem: str) -> State:
        """Takes on a state, with why it can do no work in it. Returns the state before."""
        before, self.state, self.problem = self.state, state, problem
        return before

    def list(self, is_listed: bool) -> None:
        """Whether the name still leads to it."""
        self.is_listed = is_listed

    def ask_again(self) -> None:
        """Has its `Info` asked for at once, as if for the first time."""
        self.times_asked = 0
        self.ask_now.set()

    def count_answer(self) -> None:
        """One more time it was asked for `Info`, and the answer or its absence was judged."""
        self.times_asked += 1

    async def ask(self) -> None:
        """Asks for `Info` and keeps the answer. Raises `InfoFailed` with the state that this means."""
        try:
            self.info = await self._engine.Info(common_pb2.InfoRequest(), timeout=INFO_SECONDS)
            self.refusal = ""
        except grpc.aio.AioRpcError as error:
            self.refusal = why_refused(error)
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise InfoFailed(State.BROKEN, f"{self.address}: {self.refusal}") from error
            slow = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            raise InfoFailed(State.SILENT if slow and self.is_connected else State.AWAY, error.details()) from error

    @property
    def is_connected(self) -> bool:
        """False from the moment that the connection breaks, or that the replica says it takes no more calls."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY
