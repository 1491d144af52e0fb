"""`merrflow.Client`: `AsyncClient` for code without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from merrflow.clients.async_client import ONCE, AsyncClient
from merrflow.common.v1 import common_pb2
from merrflow.core.errors import InputError

Given = ParamSpec("Given")
Result = TypeVar("Result")


def _blocking(
    method: Callable[Concatenate[AsyncClient, Given], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Client, Given], Result]:
    """The same method, for a `Client`: it returns once the answer is there."""

    @wraps(method)
    def call(self: Client, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        return self._run(method(self._client, *args, **kwargs))

    return call


class Client:
    """The same for code without an event loop, such as a notebook's. Several threads may share one.

    An example: `with merrflow.Client("qwen-audio") as client: print(client.tone("voice.wav").value.text)`
    """

    def __init__(
        self,
        service: str,
        address: str = "",
        *,
        config: str | Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> None:
        """See `AsyncClient`."""
        self._client = AsyncClient(service, address, config=config, say=say, **settings)
        self._lock = threading.Lock()  # no call begins while the loop ends
        self._loop: asyncio.AbstractEventLoop | None = None  # while it is open
        self._thread: threading.Thread | None = None  # of the loop: a notebook has a loop running in its own already

    def __enter__(self) -> Self:
        if self._thread:
            raise InputError(ONCE)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="merrflow-client", daemon=True)
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._stop()

    @property
    def info(self) -> common_pb2.InfoResponse:
        """See `AsyncClient.info`."""
        return self._client.info

    action_units = _blocking(AsyncClient.action_units)
    describe = _blocking(AsyncClient.describe)
    tone = _blocking(AsyncClient.tone)
    reason = _blocking(AsyncClient.reason)
    score = _blocking(AsyncClient.score)
    translate = _blocking(AsyncClient.translate)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        with self._lock:
            if not self._loop:
                work.close()
                raise self._client._not_open()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:  # another thread has closed the client
            raise self._client._not_open() from None
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _stop(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
        if not loop or not self._thread:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()


async def _cancel_others() -> None:
    """Ends the calls that other threads still wait for."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
