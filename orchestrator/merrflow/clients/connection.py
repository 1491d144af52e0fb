"""A connection to one service: to as many replicas as its address leads to.

A call waits its turn (no more in flight than the replicas can queue), is tried again while the service is away or
full, at another replica where there is one, and raises `MerrflowError` with the reason the service gave.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from merrflow.clients.replica import Replica, State
from merrflow.clients.replicas import Replicas
from merrflow.common.v1 import common_pb2
from merrflow.core.settings import RunSettings
from merrflow.llama3.v1 import llama3_pb2_grpc
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc
from merrflow.openface_au.v1 import openface_au_pb2_grpc
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady, from_rpc_error

MAX_LOSSES = 4  # tries at a call in which the connection is lost: two beside others, and two alone
LOSSES_IN_COMPANY = 2
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between tries while all are full
TURNED_AWAY_SECONDS = 1.0  # what a try that no model worked on takes of `retry_seconds`
_STUBS = {
    "openface-au": openface_au_pb2_grpc.ActionUnitsStub,
    "minigpt-v2": minigpt_v2_pb2_grpc.SceneDescriberStub,
    "qwen-audio": qwen_audio_pb2_grpc.ToneDescriberStub,
    "llama3": llama3_pb2_grpc.EmotionReasonerStub,
}


class _ConnectionLost(Exception):
    """The connection broke in the middle of a call."""


class _NotSent(Exception):
    """The replica was gone before the call was sent."""


class Connection:
    """One service, as its callers see it."""

    def __init__(self, name: str, address: str, settings: RunSettings) -> None:
        """address: host:port, a name of several hosts, or a list of them with commas."""
        self.name = name
        self.address = address
        self.info = common_pb2.InfoResponse()  # what the service says of itself, once connected
        self.replicas = Replicas(name, address, settings)
        self._settings = settings

    async def connect(self) -> None:
        """Asks every replica about itself.

        Raises `NotReady` with what to do where none answers, `ReplicasDiffer` where they do not run the same.
        """
        try:
            await self.replicas.open()
        finally:
            self.info.CopyFrom(self.replicas.reference)

    async def wait_ready(self) -> None:
        """Returns once a replica is warm. Raises `NotReady` with its problem, or after `ready_seconds`."""
        try:
            await self.replicas.wait_ready()
        finally:
            self.info.CopyFrom(self.replicas.reference)

    async def call(self, make: Callable[[Any], Awaitable[Any]]) -> Any:
        """One call in its turn, tried again while the service is full or restarts.

        make: makes the call on the stub of a replica. Raises the service's error; `ServiceGone` where it stays away;
        `EngineFault` where the connection was lost in the middle of this call again and again, as it is when its clip
        crashes the engine.
        """
        now = asyncio.get_running_loop().time
        lost = full = 0
        spent = 0.0  # seconds of tries that came to nothing; waiting for a replica to come back is not among them
        replica = None
        while True:
            # Whoever was in flight when a connection broke may have broken it. Such calls go on one at a time on a
            # replica, so that only the one that does it is lost again. Where many do it, one that is new may have been
            # beside it, so after the second time a call works quite alone.
            alone = lost >= LOSSES_IN_COMPANY
            async with self.replicas.borrow(avoid=replica, is_suspect=lost > 0, alone=alone) as replica:
                started, pause = now(), 0.0
                try:
                    return await self._try(replica, make)
                except _ConnectionLost as error:
                    self.replicas.drop(replica, State.AWAY, str(error))
                    lost += 1
                    if lost == MAX_LOSSES:
                        raise EngineFault(
                            f"the service {self.name} went away each time it worked on this clip"
                        ) from None
                    continue
                except _NotSent as error:
                    self.replicas.drop(replica, State.AWAY, str(error))
                    continue
                except NotReady as error:
                    trouble = error
                    spent += TURNED_AWAY_SECONDS
                except MerrflowError as error:
                    if not error.retryable:
                        raise
                    trouble = error
                    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**full) + random.random()
                    full += 1
                spent += now() - started + pause
            if spent > self._settings.retry_seconds:
                raise trouble
            await asyncio.sleep(pause)  # another call may have the replica meanwhile

    async def _try(self, replica: Replica, make: Callable[[Any], Awaitable[Any]]) -> Any:
        if not replica.is_connected:
            raise _NotSent("no connection")
        try:
            reply = await make(_STUBS[self.name](replica.channel))
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            if told.reason == NotReady.reason:  # it drains, or was started anew
                self.replicas.drop(replica, State.LOADING, str(told))
                raise NotReady(str(told)) from error
            if told.reason == grpc.StatusCode.UNAVAILABLE.name:  # by the transport, not by the service
                raise _ConnectionLost(str(told)) from error
            raise told from error
        if reply is None:  # what gRPC gives where the bytes are no message
            raise EngineFault(f"the service {self.name} gave an answer that is not of its API")
        if not self.replicas.accepts(replica, getattr(reply, "response", reply).engine):
            raise NotReady(f"the service {self.name} at {replica.address} runs another engine than at first")
        return reply

    async def unary(self, rpc: str, request: Any) -> Any:
        """Calls an RPC with one answer. request: a message, or a function that gives a stream of them."""
        timeout = self._settings.call_seconds
        return await self.call(
            lambda stub: getattr(stub, rpc)(request() if callable(request) else request, timeout=timeout)
        )

    async def close(self) -> None:
        await self.replicas.close()
