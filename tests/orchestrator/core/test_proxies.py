"""Proxy variables: loopback never goes through one, and a proxy that cannot be used is named."""

from __future__ import annotations

import os
import sys

import httpx
import pytest

from merrflow.core import proxies
from merrflow.core.errors import InputError
from merrflow.core.proxies import keep_loopback_direct

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        monkeypatch.setenv(name, "")  # so that what is set inside is undone
        monkeypatch.delenv(name)


def test_loopback_is_added_to_what_is_left_out(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org, localhost")
    keep_loopback_direct()
    keep_loopback_direct()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
    with httpx.Client() as client:
        for url in ("http://127.0.0.1:1", "http://localhost:1", "https://[::1]:1"):
            assert client._transport_for_url(httpx.URL(url)) is client._transport, url
        assert client._transport_for_url(httpx.URL("http://example.com")) is not client._transport


@pytest.mark.parametrize("given", [{}, {"no_proxy": "*", "http_proxy": "socks://proxy:1"}])
def test_without_a_proxy_nothing_changes(monkeypatch, given):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    keep_loopback_direct()
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == given


def test_a_proxy_of_the_whole_system_still_counts(monkeypatch):
    monkeypatch.setattr(proxies, "getproxies", lambda: {"http": "http://proxy:3128"})
    keep_loopback_direct()
    assert os.environ["http_proxy"] == "http://proxy:3128" and "127.0.0.1" in os.environ["no_proxy"]


@pytest.mark.parametrize("url", ["socks://user:secret@proxy:1", "ftp://proxy", "http://user:secret@proxy:port"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch, url):
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(InputError, match=r"^ALL_PROXY is no URL of a proxy that can be used") as error:
        keep_loopback_direct()
    assert "secret" not in str(error.value)


def test_socks_can_be_used_with_its_package_and_without_it_the_package_is_named(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://proxy:1")
    keep_loopback_direct()
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(InputError, match="^https_proxy names a SOCKS proxy, .*pip install socksio"):
        keep_loopback_direct()
