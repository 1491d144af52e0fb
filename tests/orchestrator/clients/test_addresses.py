"""Addresses of services as people write them: understood, or refused in one line."""

from __future__ import annotations

import pytest

import merrflow
from merrflow.clients.addresses import parse, targets
from merrflow_serving.errors import NotReady

MALFORMED = [
    *("a..b:50154", ".a:1", "ü..x:5", "l" * 300 + ":5", "l" * 64 + ".x:5", "a,b..c:5", "dns:///a..b:5", "\udcff:5"),
    *("[::1:5", "::1]:5", "[::1]]:5", "[[::1]:5", "[]:5", "[:5", "::1", "[v1.x]:5", "[::1]5", "[a.b]:5"),
    *("x:0", "[::1]:0", "x:70000", "x:-1", "x:+5", "x: 5", "x:", "x:5:6", "x:99999999999999999999", "127.0.0.1:٥"),
    *(":5", " ", ",", "a,,b", "127.0.0.1:5,", "dns:///", "ipv4:", "ipv6:", "dns:a:5"),
    *("a b:5", "a\nb:5", "\0:5", "a\0b:5", "user@host:5", "host:5/path", "host:5?x", "host#5", "host\\x:5"),
    *("http://localhost:5", "foo://bar", "unix:", "unix:" + "a" * 300, "x" * 1_000_000),
    *("unix:\udcff", "xds:///\udcff", "xds:///a\nb", "dns://8.8.8.8/a\x1b[2J", "unix:/a\0b", "vsock:\t1:2"),
]
UNDERSTOOD = {
    "localhost": (("localhost", 7),),
    " Host.Example.:5 ": (("host.example.", 5),),
    "dns:///a:1": (("a", 1),),
    "a:1,b,[::1]:3": (("a", 1), ("b", 7), ("::1", 3)),
    "ipv4:1.2.3.4:5,1.2.3.5:6": (("1.2.3.4", 5), ("1.2.3.5", 6)),
    "ipv6:[FE80::1%eth0]:65535": (("fe80::1%eth0", 65535),),
    "llama3_1:50054": (("llama3_1", 50054),),
    "bücher.example:1": (("xn--bcher-kva.example", 1),),
    "unix:/run/llama3.sock": (),
    "unix:///run/llama3.sock": (),
    "dns://8.8.8.8/host:5": (),
}


@pytest.mark.parametrize("address", MALFORMED, ids=lambda text: ascii(text[:30]))
async def test_what_is_no_address_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(NotReady, match="is no address of a service: write host:port") as caught:
        await targets(address, 7)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("address", UNDERSTOOD)
def test_what_is_one_is_understood(address: str) -> None:
    assert parse(address, 7) == UNDERSTOOD[address]


@pytest.mark.parametrize("address", ["a..b:50154", "[::1]]:5"])
def test_a_client_says_so(address: str) -> None:
    with pytest.raises(NotReady, match="is no address of a service"), merrflow.Client("llama3", address):
        pass
