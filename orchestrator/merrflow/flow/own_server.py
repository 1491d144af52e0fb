"""Prefect's server of this user's runs, if none is set: a process on a loopback port, which the next run finds again.

Prefect would start one for each run, which takes 7 to 12 s. Two files in Prefect's home folder say how it is with this
one, by locks that the system frees when their holder ends, however it ended: the server holds the lock of the first,
which says where it listens; each run shares the lock of the second for as long as it uses the server. The server takes
that one once it has been free for a while, and ends (own_server_process.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import prefect
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from merrflow.core.child_logs import last_words
from merrflow.flow.trouble import PrefectServerFailed

FLUSH_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_FOLDER = "merrflow"  # in Prefect's home
# As Prefect starts its own: no pages, and only the background services that one run needs.
_OWN = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
_LOG_LEVEL = {"PREFECT_LOGGING_SERVER_LEVEL": "ERROR"}  # into its own file
_SERVERS = ("PREFECT_SERVER_", "PREFECT_HOME")  # the settings of a server, but for those of who waits for it
_WAITING = "_EPHEMERAL_"
_PROCESS = "merrflow.flow.own_server_process"


@asynccontextmanager
async def own_server(idle_seconds: float) -> AsyncIterator[None]:
    """Inside, Prefect has a server. Does nothing if one is set, or if Prefect is not to start any.

    idle_seconds: how long a server that is started here waits for another run. Raises `PrefectServerFailed` with the
    reason.
    """
    settings = get_current_settings()
    if PREFECT_API_URL.value() or not settings.server.ephemeral.enabled:
        yield
        return
    with ExitStack() as stack:
        try:
            place = _Place.of_these_settings()
            users = stack.enter_context(place.users.open("a"))
            patience = settings.server.ephemeral.startup_timeout_seconds
            url = await _found_or_started(place, users, idle_seconds, patience)
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise PrefectServerFailed(f"its server does not start: {error.strerror or error}{where}") from error
        with temporary_settings(updates={PREFECT_API_URL: url}):
            try:
                yield
            finally:  # what Prefect still has to send
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS):
                        events = asyncio.to_thread(EventsWorker.drain_all, timeout=FLUSH_SECONDS, at_exit=False)
                        await asyncio.gather(APILogHandler.aflush(), events)


@dataclass(frozen=True)
class _Place:
    """The files of a server."""

    server: Path  # the server holds its lock; the port and process id
    users: Path  # whoever uses the server shares its lock
    log: Path

    @classmethod
    def of_these_settings(cls) -> _Place:
        """For servers that would be alike: of one machine, Prefect and environment of Python, with the same settings.
        Raises `OSError`."""
        settings = get_current_settings()
        own = {name: value for name, value in _settings().items() if name.startswith(_SERVERS) and _WAITING not in name}
        alike = [prefect.__version__, sys.executable, platform.node(), own]
        word = hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()[:12]
        folder = settings.home.absolute() / _FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(*(folder / f"server-{word}{suffix}" for suffix in (".lock", ".users", ".log")))

    def url(self) -> str:
        """Where the server with the lock listens; empty if it has not said so yet."""
        try:
            return f"http://127.0.0.1:{int(json.loads(self.server.read_text())['port'])}/api"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


async def _found_or_started(place: _Place, users: IO[str], idle_seconds: float, patience: float) -> str:
    """The URL of the server, once it answers; `users` then has its lock. Raises `PrefectServerFailed` and `OSError`."""
    process: subprocess.Popen[bytes] | None = None
    is_user, waited = False, 0.0
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        begun = time.monotonic()
        while waited < patience:
            # It is refused by a server that is about to end; then the other lock will soon be free.
            is_user = is_user or _locked(users, fcntl.LOCK_SH)
            if is_user and process is None:
                process = _started(place, idle_seconds)
            # The port is read again: before, it may have been the one of an earlier server.
            if is_user and (url := place.url()) and await _is_healthy(client, url) and url == place.url():
                return url
            if process and process.poll() is not None:
                raise PrefectServerFailed(f"its server does not start: {last_words(place.log, 0)}")
            await asyncio.sleep(_LOOK_SECONDS)
            waited = time.monotonic() - begun
    raise PrefectServerFailed(f"its server does not answer within {patience:.0f} s: {last_words(place.log, 0)}")


def _started(place: _Place, idle_seconds: float) -> subprocess.Popen[bytes] | None:
    """A new server; None if there is one. Raises `OSError`."""
    with place.server.open("a+") as lock:
        if not _locked(lock, fcntl.LOCK_EX):
            return None
        lock.truncate(0)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, place.log.open("wb") as output:
            handles = lock.fileno(), listening.fileno()
            process = subprocess.Popen(
                [sys.executable, "-m", _PROCESS, *map(str, handles), str(place.users), str(idle_seconds)],
                env=_environment(),
                cwd=place.log.parent,  # no folder of the user's is kept busy, and no .env is read there
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=handles,  # a lock belongs to whoever has the open file
                start_new_session=True,  # Ctrl-C and the end of the terminal do not reach it
            )
            lock.write(json.dumps({"port": listening.getsockname()[1], "pid": process.pid}))
        return process


def _settings() -> dict[str, str]:
    return get_current_settings().to_environment_variables(exclude_unset=True)


def _environment() -> dict[str, str]:
    """Of the server: without what is merrflow's, such as passwords."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("MERRFLOW_")}
    home = {"PREFECT_HOME": str(get_current_settings().home.absolute())}
    return others | _OWN | _settings() | _LOG_LEVEL | home


def _locked(file: IO[str], kind: int) -> bool:
    """Takes a file's lock. False if others have it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health")).is_success
    except httpx.HTTPError:
        return False
