"""`merrflow services` against real services that work, load, cannot work, are scaled, or are not there."""

from __future__ import annotations

import asyncio
import io
import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from rich.console import Console

from merrflow.cli.services import look, show
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import NotReady
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    """No service runs, until a test starts one."""
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        for entry in SERVICES.values():
            monkeypatch.setenv(f"{entry.env_prefix}ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr("merrflow.cli.services.PROBE_SECONDS", 0.5)
        yield
    ToyEngine.load_fault = None
    ToyEngine.missing_weights = False
    ToyEngine.loading.set()


async def started(stack: AsyncExitStack, host: str = "127.0.0.1", port: int = 0) -> Server:
    server = Server(SPEC, ServiceSettings(host=host, port=port, drain_seconds=0))
    await server.start()
    stack.push_async_callback(server.stop)
    stack.callback(ToyEngine.loading.set)
    return server


def shown(found: list[dict], colour: bool = False) -> str:
    """As it is printed; with the terminal's colours, where red is 31, green 32 and yellow 33."""
    out = io.StringIO()
    show(found, Console(file=out, width=200, force_terminal=colour, color_system="standard" if colour else None))
    return out.getvalue()


def of(found: list[dict], service: str = "qwen-audio") -> list[dict]:
    return [item for item in found if item["service"] == service]


async def test_one_that_serves_and_the_others_away(monkeypatch) -> None:
    async with AsyncExitStack() as stack:
        server = await started(stack)
        await server.wait_ready()
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", server.address)
        found = await look(None)
    assert [item["health"] for item in found] == ["UNREACHABLE", "UNREACHABLE", "SERVING", "UNREACHABLE", "UNREACHABLE"]
    text = shown(found)
    assert "llama3: the service llama3 does not answer at 127.0.0.1:" in text
    assert "start it with `merrflow serve llama3` or `docker-compose up -d llama3`" in text
    assert "\x1b[32mSERVING" in shown(found, colour=True) and "\x1b[31mUNREACHABLE" in shown(found, colour=True)


async def test_an_optional_one_without_an_address_is_off(monkeypatch) -> None:
    monkeypatch.delenv("MERRFLOW_WHISPER_ADDRESS")
    monkeypatch.setitem(SERVICES, "whisper", replace(SERVICES["whisper"], port=1))  # nobody listens there
    found = await look(None)
    (item,) = of(found, "whisper")
    assert item["health"] == "OFF" and "problem" not in item
    assert "OFF" in shown(found) and "\x1b[2mOFF" in shown(found, colour=True)


async def test_one_that_cannot_work_is_red_with_the_reason(monkeypatch) -> None:
    ToyEngine.load_fault = NotReady("the disk is full; make room", reason="STORAGE")
    async with AsyncExitStack() as stack:
        server = await started(stack)
        await server.wait_ready()
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", server.address)
        found = await look(None)
    (item,) = of(found)
    assert (item["health"], item["problem"]) == ("NOT_SERVING", "the disk is full; make room")
    assert "qwen-audio: the disk is full; make room" in shown(found)
    assert "qwen-audio: waiting to try again, as every 60 s (for 0 s)" in shown(found)
    assert "\x1b[31mNOT_SERVING" in shown(found, colour=True)


async def test_one_that_loads_is_yellow_with_what_it_does(monkeypatch) -> None:
    ToyEngine.loading.clear()
    async with AsyncExitStack() as stack:
        server = await started(stack)
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", server.address)
        found = await look(None)
    assert "qwen-audio: loading its model (for 0 s)" in shown(found)
    assert "\x1b[33mNOT_SERVING" in shown(found, colour=True)


async def test_each_replica_has_a_row(monkeypatch) -> None:
    ToyEngine.load_fault = NotReady("no such device", reason="DEVICE_MISSING")
    async with AsyncExitStack() as stack:
        first = await started(stack)
        await first.wait_ready()
        ToyEngine.load_fault = None
        port = int(first.address.rsplit(":", 1)[1])
        second = await started(stack, "127.0.0.2", port)
        await second.wait_ready()

        async def two(host: str, port: int, **options: object) -> list[tuple]:  # a name, as Docker answers it
            return [(socket.AF_INET, 1, 6, "", (one, port)) for one in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", f"qwen-audio:{port}")
        found = await look(None)
    assert [(item["address"], item["health"]) for item in of(found)] == [
        (f"127.0.0.1:{port}", "NOT_SERVING"),
        (f"127.0.0.2:{port}", "SERVING"),
    ]
    assert f"qwen-audio at 127.0.0.1:{port}: no such device" in shown(found)


async def test_a_name_that_leads_nowhere_and_an_address_that_is_none(monkeypatch) -> None:
    monkeypatch.setenv("MERRFLOW_LLAMA3_ADDRESS", "no-such-host.invalid:1")
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", "here:many")
    monkeypatch.setattr("merrflow.cli.services.PROBE_SECONDS", 2.0)
    found = await look(None)
    assert "llama3: no-such-host.invalid:1 leads to no machine (" in shown(found)
    assert [item["health"] for item in of(found)] == ["UNREACHABLE"]
    assert "'here:many' is no address of a service: write host:port" in shown(found)


async def test_another_service_at_the_address(monkeypatch) -> None:
    async with AsyncExitStack() as stack:
        server = await started(stack)
        await server.wait_ready()
        monkeypatch.setenv("MERRFLOW_LLAMA3_ADDRESS", server.address)
        found = await look(None)
    (item,) = of(found, "llama3")
    assert item["health"] == "NOT_SERVING", "so that the exit code tells it"
    assert item["problem"] == f"at {server.address} is the service 'qwen-audio', not llama3"
