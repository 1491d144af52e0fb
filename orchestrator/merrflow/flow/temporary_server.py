"""Prefect's server for one run, if none is set: a child process on a free loopback port.

Prefect would start one itself, which outlives a run that is killed. This one ends with its parent, however that ended.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import uvicorn
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from merrflow.core.child_logs import last_words
from merrflow.flow.trouble import PrefectServerFailed
from merrflow_serving.parent import end_with_parent

STOP_SECONDS = 5.0
# As Prefect starts its own: no pages, and only the background services that one run needs.
_OWN = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
_LOG_LEVEL = {"PREFECT_LOGGING_SERVER_LEVEL": "ERROR"}  # into its own file


@asynccontextmanager
async def temporary_server(log: Path) -> AsyncIterator[None]:
    """Inside, Prefect has a server. Does nothing if one is set, or if Prefect is not to start any.

    log: the file for what it prints. Raises `PrefectServerFailed` with the reason.
    """
    settings = get_current_settings()
    if PREFECT_API_URL.value() or not settings.server.ephemeral.enabled:
        yield
        return
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        started_at = log.stat().st_size if log.exists() else 0
        process = await _spawn(log, listening.fileno())
    try:
        if not await _answers(url, process, settings.server.ephemeral.startup_timeout_seconds):
            raise PrefectServerFailed(f"its server does not start: {last_words(log, started_at)}")
        with temporary_settings(updates={PREFECT_API_URL: url}):
            try:
                yield
            finally:  # what Prefect still has to send
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        events = asyncio.to_thread(EventsWorker.drain_all, timeout=STOP_SECONDS, at_exit=False)
                        await asyncio.gather(APILogHandler.aflush(), events)
    finally:
        await _stop(process)


async def _spawn(log: Path, listening: int) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(listening)),
            env=os.environ | _OWN | get_current_settings().to_environment_variables(exclude_unset=True) | _LOG_LEVEL,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(listening,),
            start_new_session=True,  # Ctrl-C reaches this process, which stops the server at its end
        )


async def _answers(url: str, process: asyncio.subprocess.Process, seconds: float) -> bool:
    """True once the server answers; False if it ends before, or after that many seconds."""
    answered, ended = asyncio.create_task(_health(url)), asyncio.create_task(process.wait())
    try:
        await asyncio.wait([answered, ended], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return answered.done()
    finally:
        answered.cancel()
        ended.cancel()


async def _health(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health")).is_success:
                    return
            await asyncio.sleep(0.1)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main() -> None:
    """The child: serves on the listening socket that it was given as a file descriptor."""
    end_with_parent(STOP_SECONDS)
    config = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
