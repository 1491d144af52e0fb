"""From the address in the settings to a gRPC target for each replica behind it.

One DNS name with several addresses (`docker-compose up --scale`, a headless Service) is several replicas, and so is a
list with commas. Names are looked up by the system's resolver, which knows /etc/hosts, Docker's names and the search
domains of a pod.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Any

from merrflow_serving.errors import NotReady

# What getaddrinfo returns: family, type, protocol, canonical name, and the address with which to connect.
_AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
_PLACE = re.compile(r"(?:\[(?P<ipv6>[^][]+)\]|(?P<name>[^][:/?#@\\\s]+))(?::(?P<port>[0-9]{1,5}))?")
_FOR_GRPC = ("unix:", "unix-abstract:", "vsock:", "dns://", "xds:")
_LONGEST_SOCKET = 107  # bytes of a Unix socket's path, on Linux


def parse(address: str, default_port: int) -> tuple[tuple[str, int], ...]:
    """Hosts and ports of "host:port", "host", "[::1]:port", "a:1,b:1", "dns:///host:port" or "ipv4:1.2.3.4:1,...".

    Empty for a target that only gRPC itself understands, such as "unix:///run/llama3.sock". Raises `NotReady` if it
    is none of these.
    """
    text = address.strip()
    for prefix in ("dns:///", "ipv4:", "ipv6:"):
        text = text.removeprefix(prefix)
    if text.startswith(_FOR_GRPC):
        scheme, _, path = text.partition(":")
        too_long = scheme == "unix" and len(path.encode(errors="replace")) > _LONGEST_SOCKET
        if not path or too_long or not text.isprintable():
            raise _malformed(address)
        return ()
    try:
        return tuple(_host_and_port(part.strip(), default_port) for part in text.split(","))
    except ValueError as error:  # UnicodeError is one
        raise _malformed(address) from error


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Raises `ValueError`."""
    found = _PLACE.fullmatch(text)
    port = int(found["port"] or default_port) if found else 0
    if not found or not text.isprintable() or not 0 < port <= 65535:
        raise ValueError(text)
    if found["ipv6"]:
        return str(ipaddress.IPv6Address(found["ipv6"])), port
    return found["name"].lower().encode("idna").decode(), port  # as the look-up and a certificate want it


def _malformed(address: str) -> NotReady:
    return NotReady(f"{address!r:.200} is no address of a service: write host:port, or a list of them with commas")


async def targets(address: str, default_port: int) -> dict[str, str]:
    """A gRPC target for each replica, such as "ipv4:172.18.0.4:50054", with the host that led to it.

    Raises `OSError` if no name can be looked up, and `NotReady` if the address is malformed.
    """
    places = parse(address, default_port)
    if not places:
        return {address: ""}
    loop = asyncio.get_running_loop()
    answers = await asyncio.gather(
        *(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM) for host, port in places), return_exceptions=True
    )
    found: dict[str, str] = {}
    for (host, _), answer in zip(places, answers, strict=True):
        if not isinstance(answer, BaseException):
            found |= dict.fromkeys(_of_one_host(answer), host)
    for answer in answers:
        if isinstance(answer, BaseException) and not found:
            raise answer
    return found


def _of_one_host(answer: Sequence[_AddressInfo]) -> list[str]:
    """By IPv4 if the host has it: by both families, one process would count as two replicas."""
    by_ipv4 = [f"ipv4:{where[0]}:{where[1]}" for family, *_, where in answer if family == socket.AF_INET]
    return by_ipv4 or [f"ipv6:[{where[0]}]:{where[1]}" for *_, where in answer]
