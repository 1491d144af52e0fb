"""Where an endpoint is, and what settings of one are refused."""

from __future__ import annotations

import socket

import pytest

from merrflow_llama3 import SPEC
from merrflow_serving.__main__ import read_settings
from merrflow_serving.engine import Endpoint, Reach
from merrflow_serving.errors import InvalidInput
from merrflow_serving.openai.address import endpoint_of, host_of, looked_up, reach_of

NAMES = ("MERRFLOW_LLAMA3_OPENAI_BASE_URL", "MERRFLOW_LLAMA3_OPENAI_HEADERS", "MERRFLOW_LLAMA3_OPENAI_EXTRA_BODY")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/v1", "api.example.com"),
        ("https://api.example.com:443/v1", "api.example.com"),
        ("http://10.0.0.7:8000/v1", "10.0.0.7:8000"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
    ],
)
def test_the_host_alone_names_an_endpoint(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("http://localhost:8000/v1", Reach.MACHINE),
        ("http://127.8.0.1/v1", Reach.MACHINE),
        ("http://[::1]/v1", Reach.MACHINE),
        ("http://[::ffff:127.0.0.1]/v1", Reach.MACHINE),
        ("http://0.0.0.0:8000/v1", Reach.MACHINE),
        ("http://192.168.1.7/v1", Reach.PRIVATE),
        ("http://[fd00::1]/v1", Reach.PRIVATE),
        ("http://8.8.8.8/v1", Reach.PUBLIC),
        ("http://gpu.lab.example/v1", Reach.UNSPECIFIED),
    ],
)
def test_how_far_an_endpoint_is_by_its_address(url, reach):
    assert endpoint_of(url).reach is reach


def test_a_name_is_as_far_as_its_furthest_address(monkeypatch):
    found = [(0, 0, 0, "", (address, 0)) for address in ("192.168.0.1", "8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: found)
    assert looked_up("http://gpu.lab.example/v1") == Endpoint("gpu.lab.example", Reach.PUBLIC)
    assert reach_of([]) is Reach.UNSPECIFIED


def test_a_name_that_cannot_be_looked_up_may_be_anywhere(monkeypatch):
    def fail(*args, **named):
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert looked_up("http://gpu.lab.example/v1").reach is Reach.UNSPECIFIED


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (NAMES[0], "localhost:8000", "must be an address such as http://localhost:8000/v1"),
        (NAMES[0], "http://me:secret@host/v1", "no user, password, query or fragment"),
        (NAMES[0], "http://host/v1?key=secret", "no user, password, query or fragment"),
        (NAMES[0], "http://host:99999/v1", "must be an address"),
        (NAMES[1], '{"key": secret}', "must be a JSON object"),
        (NAMES[1], '["secret"]', "must be a JSON object"),
        (NAMES[2], "secret", "must be a JSON object"),
    ],
)
def test_wrong_settings_are_named_and_not_shown(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=words) as caught:
        read_settings(SPEC)
    assert str(caught.value).startswith(f"setting {name}") and "secret" not in str(caught.value)
