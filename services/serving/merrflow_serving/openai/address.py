"""Where an endpoint is: its host, and how far away its addresses are."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from merrflow_serving.engine import Endpoint, Reach

_USUAL_PORT = {"http": 80, "https": 443}


def endpoint_of(url: str) -> Endpoint:
    """The endpoint of a base URL without looking its name up: the reach of a name is not known yet."""
    host = urlsplit(url).hostname or ""
    found = _literal(host)
    return Endpoint(host_of(url), reach_of([found]) if found else Reach.UNSPECIFIED)


def looked_up(url: str) -> Endpoint:
    """The same with the addresses of a name. Blocks for as long as the look-up takes."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or _USUAL_PORT.get(parts.scheme), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return endpoint_of(url)
    return Endpoint(host_of(url), reach_of(str(one[4][0]) for one in found))


def host_of(url: str) -> str:
    """host[:port] of a base URL; the port only if it is not the usual one of the scheme."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in (None, _USUAL_PORT.get(parts.scheme)) else f"{host}:{parts.port}"


def reach_of(addresses: Iterable[str]) -> Reach:
    """The furthest of some IP addresses; not known if there are none."""
    found = [_reach(address) for address in addresses]
    return max(found, default=Reach.UNSPECIFIED, key=list(Reach).index)


def _reach(address: str) -> Reach:
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified:  # to connect to 0.0.0.0 is to connect to this machine
        return Reach.MACHINE
    return Reach.PUBLIC if ip.is_global else Reach.PRIVATE


def _literal(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
