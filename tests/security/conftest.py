"""Certificates once a session, and a service of the toy engine with any settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from merrflow_serving.catalog import SERVICES
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.security.certificates import Certificates, make
from tests.services.serving.toy import SPEC, ToyEngine

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch, tmp_path):
    """No setting of this machine counts; sockets of health checks go to a folder of the test."""
    for name in ("TLS_CA", "TLS_CERT", "TLS_KEY", "TOKEN", "TOKEN_FILE", "PLAIN_TOKEN"):
        monkeypatch.delenv(f"MERRFLOW_{name}", raising=False)
        for entry in SERVICES.values():
            monkeypatch.delenv(f"{entry.env_prefix}{name}", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ToyEngine.hold.clear()
    yield
    ToyEngine.hold.set()


@asynccontextmanager
async def served(**settings) -> AsyncIterator[Server]:
    """A warm service on a free port of loopback."""
    server = Server(SPEC, ServiceSettings(**{"port": 0, "drain_seconds": 0, **settings}))
    await server.start()
    try:
        await server.wait_ready()
        yield server
    finally:
        ToyEngine.hold.set()
        await server.stop()


@pytest.fixture
async def start() -> AsyncIterator[Callable]:
    """`await start(token=...)` gives a warm `Server`, which ends with the test."""
    async with AsyncExitStack() as stack:

        async def begin(**settings) -> Server:
            return await stack.enter_async_context(served(**settings))

        yield begin
