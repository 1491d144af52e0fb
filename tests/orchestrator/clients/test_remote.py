"""What a run sends beyond its own network: only if it is allowed, and never without a word."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from merrflow.cli import services as services_command
from merrflow.cli.services import call_once
from merrflow.clients import Services
from merrflow.clients.remote import leaves
from merrflow.common.v1 import common_pb2
from merrflow.core.settings_file import load_settings
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import Endpoint, Reach
from merrflow_serving.errors import NotReady
from merrflow_serving.server import Server
from tests.orchestrator.clients.toy_replicas import SPEC, Echo, request
from tests.ports import free_port


class Elsewhere(Echo):
    """An engine whose model is at an endpoint."""

    reach = Reach.PUBLIC

    def endpoint(self) -> Endpoint:
        return Endpoint("models.example:8443", self.reach)


class Private(Elsewhere):
    reach = Reach.PRIVATE


class Machine(Elsewhere):
    reach = Reach.MACHINE


class Unknown(Elsewhere):
    reach = Reach.UNSPECIFIED


ENGINES = ("Elsewhere", "Private", "Machine", "Unknown")
SPEC_ELSEWHERE = replace(SPEC, engines={name: f"{__name__}:{name}" for name in ENGINES})


@asynccontextmanager
async def served(engine: str, **settings):
    """A client of a service whose engine is this one; it is connected, but nothing has waited for its model."""
    port = free_port()
    server = Server(SPEC_ELSEWHERE, SPEC_ELSEWHERE.settings(host="127.0.0.1", port=port, engine=engine))
    await server.start()
    try:
        await server.wait_ready()
        async with Services({"qwen-audio": f"127.0.0.1:{port}"}, load_settings(None, **settings)) as services:
            yield services
    finally:
        await server.stop()


@pytest.mark.parametrize("engine", ["Elsewhere", "Unknown"])
async def test_nothing_goes_to_a_public_or_unknown_address_unless_it_is_allowed(engine):
    where = "a public address" if engine == "Elsewhere" else "an address that is not known"
    said = rf"qwen-audio sends sound tracks to models.example:8443 \((at )?{where}\): allow it with --allow-remote"
    async with served(engine) as services:
        with pytest.raises(NotReady, match=said):
            services.raise_if_broken()
        with pytest.raises(NotReady, match=said):
            await services.wait_ready()
    async with served(engine, allow_remote=True) as services:
        await services.wait_ready()
        assert len(services.destinations()) == 1, "and the run says so"
        assert (await services.connections["qwen-audio"].unary("Describe", request("hello"))).text


async def test_a_replica_that_sends_elsewhere_gets_no_calls():
    async with served("Elsewhere") as services:
        connection = services.connections["qwen-audio"]
        assert not any(replica.has_room and replica.state == "ready" for replica in connection.replicas)
        assert all("--allow-remote" in replica.problem for replica in connection.replicas)


@pytest.mark.parametrize("engine", ["Private", "Machine"])
async def test_an_endpoint_in_the_own_network_needs_no_permission(engine):
    async with served(engine) as services:
        await services.wait_ready()
        assert not services.destinations()


async def test_a_single_call_asks_for_permission_too_and_says_where_it_goes(tmp_path, monkeypatch):
    config, wav = tmp_path / "config.yaml", tmp_path / "voice.wav"
    config.write_text("allow_remote: true")
    wav.write_bytes(b"hello")
    said = []
    async with served("Elsewhere") as services:
        monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", services.connections["qwen-audio"].address)
        with pytest.raises(NotReady, match="--allow-remote"):
            await call_once("qwen-audio", wav, None, said.append)
        assert not any("models.example" in text for text in said)
        for given, allowed in ((None, True), (config, None)):
            said.clear()
            assert "hello" in await call_once("qwen-audio", wav, given, said.append, allow_remote=allowed)
            assert "qwen-audio sends sound tracks to models.example:8443 (a public address)" in said


async def test_permission_in_a_file_holds_for_a_service_that_is_started_for_the_call(tmp_path, monkeypatch):
    """The one that is started is played by one that runs already."""
    config = tmp_path / "config.yaml"
    config.write_text("allow_remote: true")
    (tmp_path / "voice.wav").write_bytes(b"hello")
    async with served("Elsewhere") as services:
        address = services.connections["qwen-audio"].address

        @asynccontextmanager
        async def started(*given):
            yield SimpleNamespace(addresses={"qwen-audio": address}, token="")

        monkeypatch.setattr(services_command, "LocalServices", started)
        nowhere = f"127.0.0.1:{free_port()}"
        monkeypatch.setattr(services_command, "addresses", lambda settings: {"qwen-audio": nowhere})
        arguments = ("qwen-audio", tmp_path / "voice.wav")
        assert "hello" in await call_once(*arguments, config, lambda text: None)
        with pytest.raises(NotReady, match="--allow-remote"):
            await call_once(*arguments, None, lambda text: None)


def test_a_service_that_loads_may_not_have_looked_its_endpoint_up():
    info = common_pb2.InfoResponse(endpoint=common_pb2.Endpoint(host="models.example"))
    assert not leaves(info)
    info.ready = True
    assert leaves(info)
    info.ready, info.endpoint.reach = False, common_pb2.REACH_PUBLIC
    assert leaves(info), "what is known to be public need not be waited for"
    assert not leaves(common_pb2.InfoResponse(ready=True)), "most engines have no endpoint"


def test_every_service_says_what_it_is_sent():
    assert "subtitles" in SERVICES["llama3"].takes, "text is media too"
    assert all(entry.takes for entry in SERVICES.values())
