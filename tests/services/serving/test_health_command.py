"""`python -m merrflow_serving.health`: what a container's health check runs, against a real server."""

from __future__ import annotations

import asyncio
import socket

import pytest

from merrflow_serving import health
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, ToyEngine


@pytest.fixture(autouse=True)
def _fresh_engine():
    ToyEngine.missing_weights = False
    yield
    ToyEngine.missing_weights = False


async def test_serving_then_gone():
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=1))
    await server.start()
    await server.wait_ready()
    assert await asyncio.to_thread(health.check, server.address) == (True, "SERVING")
    await server.stop()
    healthy, line = await asyncio.to_thread(health.check, server.address)
    assert not healthy and server.address in line


async def test_a_missing_model_is_unhealthy_and_says_what_to_do():
    ToyEngine.missing_weights = True
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=1))
    await server.start()
    await server.wait_ready()
    healthy, line = await asyncio.to_thread(health.check, server.address)
    assert not healthy
    assert "pip install toy-model" in line
    await server.stop()


def test_address_is_where_the_service_of_the_same_environment_listens(monkeypatch):
    assert health.address("llama3") == "127.0.0.1:50054"
    monkeypatch.setenv("MERRFLOW_LLAMA3_HOST", "0.0.0.0")
    monkeypatch.setenv("MERRFLOW_LLAMA3_PORT", "6000")
    assert health.address("llama3") == "127.0.0.1:6000"
    monkeypatch.setenv("MERRFLOW_LLAMA3_HOST", "10.0.0.7")
    assert health.address("llama3") == "10.0.0.7:6000"


def test_exit_code_and_line(monkeypatch, capsys):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MERRFLOW_LLAMA3_PORT", str(taken.getsockname()[1]))
        assert health.main(["llama3"]) == 1
    assert "no answer" in capsys.readouterr().out
