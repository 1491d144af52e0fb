"""Weights, licences and hubs; the hub is a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from merrflow.cli.doctor import weights
from merrflow.cli.doctor.engines import Chosen
from merrflow_serving.weights.places import Place
from tests.orchestrator.cli.doctor.situations import situation

ACCEPTED = "Bearer accepted"


@pytest.fixture
def hub(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """A hub that lets one token read; it is the mirror in use."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            gated = "/resolve/" in self.path and self.headers["Authorization"] != ACCEPTED
            self.send_response(403 if gated else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def llama(tmp_path: Path, monkeypatch) -> Chosen:
    for name in ("HF_TOKEN", "MERRFLOW_HUB", "MERRFLOW_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return Chosen("llama3", "transformers", weights=("llama-3-8b-instruct",), place=Place(models_dir=tmp_path))


def test_weights_that_are_absent(llama) -> None:
    (found,) = weights.files(situation(llama))
    assert (found.check, found.state) == ("llama-3-8b-instruct", "missing")
    assert "merrflow models pull llama-3-8b-instruct" in found.todo
    assert "Meta Llama 3 Community License" in found.found


def test_weights_of_containers_are_in_a_volume(llama) -> None:
    (found,) = weights.files(situation(llama, containers=True))
    assert (found.state, "docker-compose run --rm weights" in found.todo) == ("note", True)


@pytest.mark.parametrize(("token", "state"), [("", "missing"), ("other", "missing"), ("accepted", "ok")])
def test_licences(hub, llama, monkeypatch, token: str, state: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    (found,) = weights.licences(situation(llama))
    assert (found.check, found.state) == ("licence of llama-3-8b-instruct", state)
    assert token not in found.found or not token or state == "ok"


def test_a_hub_that_answers(hub, llama) -> None:
    assert [one.state for one in weights.hubs(situation(llama))] == ["ok"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "not an address"])
def test_a_hub_that_does_not_answer(llama, monkeypatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    (found,) = weights.hubs(situation(llama, seconds=0.5))
    assert (found.check, found.state, "HF_ENDPOINT" in found.todo) == ("huggingface", "missing", True)


def test_no_hub_is_asked_offline_or_for_nothing(llama, tmp_path) -> None:
    offline = Chosen(llama.service, llama.engine, weights=llama.weights, place=Place(models_dir=tmp_path, offline=True))
    (found,) = weights.hubs(situation(offline))
    assert "offline" in found.found
    assert not list(weights.hubs(situation()))
