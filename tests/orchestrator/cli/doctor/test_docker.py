"""Docker by a server that answers as its engine does, and ports that are taken."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from merrflow.cli.doctor import docker
from merrflow_serving.catalog import SERVICES, ServiceEntry
from tests.orchestrator.cli.doctor.situations import reasoner, situation


@pytest.fixture
def answers(monkeypatch) -> Iterator[dict[str, Any]]:
    """What `docker info` says; to be filled."""
    told: dict[str, Any] = {}

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told if self.path.endswith("/info") else {"ApiVersion": "1.41"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield told
        server.shutdown()
        thread.join()


def states(**fields: Any) -> list[tuple[str, str]]:
    return [(one.check, one.state) for one in docker.engine(situation(reasoner(), **fields))]


@pytest.mark.parametrize(
    ("told", "version", "runtime"),
    [
        ({"ServerVersion": "28.1.0", "Runtimes": {"runc": {}, "nvidia": {}}}, "ok", "ok"),
        ({"ServerVersion": "28.3.0", "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "ok", "ok"),
        ({"ServerVersion": "20.10.24+dfsg1", "Runtimes": {"runc": {}}}, "ok", "missing"),
        ({"ServerVersion": "19.03.1", "Runtimes": None}, "missing", "missing"),
    ],
)
def test_the_engine_and_its_gpu_runtime(answers, told, version: str, runtime: str) -> None:
    answers |= told
    assert states(containers=True) == [("Docker", version), ("Docker's GPU runtime", runtime)]
    assert "missing" not in dict(states()).values()  # processes of this machine need none of it


def test_rootless_docker_wants_its_own_root(answers, monkeypatch) -> None:
    answers |= {"ServerVersion": "28.1.0", "Runtimes": {"nvidia": {}}, "SecurityOptions": ["name=rootless"]}
    monkeypatch.setenv("OUT_USER", "1000:1000")
    assert ("rootless Docker", "missing") in states(containers=True)
    monkeypatch.setenv("OUT_USER", "0:0")
    assert ("rootless Docker", "ok") in states(containers=True)


def test_no_engine(monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert states() == [("Docker", "note")]
    assert states(containers=True) == [("Docker", "missing")]
    assert states(inside=True) == [("Docker", "ok")]


def test_a_port_that_is_taken(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = ServiceEntry("llama3", port, "", "", "")
        monkeypatch.setattr(docker, "SERVICES", {**SERVICES, "llama3": taken})
        found = {one.check: one for one in docker.ports(situation(containers=True))}
        assert found[f"port {port}"].state == "missing"
        assert "LLAMA3_PORT" in found[f"port {port}"].todo
        assert {one.state for one in docker.ports(situation())} == {"note"}
        assert not list(docker.ports(situation(inside=True)))


def test_ports_are_those_that_the_containers_will_have(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as second:
        port, free = other.getsockname()[1], second.getsockname()[1]
        second.close()
        monkeypatch.setattr(docker, "SERVICES", {**SERVICES, "llama3": ServiceEntry("llama3", port, "", "", "")})
        (tmp_path / ".env").write_text(f"LLAMA3_PORT={free}\nREPORTS_PORT={port}\n")
        found = {one.check: one for one in docker.ports(situation(containers=True))}
        assert "REPORTS_URL" in found[f"port {port}"].todo, "of the reports, as llama3 has another"
        monkeypatch.setenv("REPORTS_PORT", "4220-4229")
        assert f"port {port}" not in {one.check for one in docker.ports(situation(containers=True))}
