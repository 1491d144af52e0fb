"""Proxy variables of the environment (`http_proxy`, `HTTPS_PROXY`, `ALL_PROXY`, `no_proxy`), which Prefect obeys.

gRPC's channels have `enable_http_proxy` off: services are never called through a proxy.
"""

from __future__ import annotations

import os
from urllib.request import getproxies

import httpx

from merrflow.core.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")


def keep_loopback_direct() -> None:
    """Adds loopback to `no_proxy`, for this process and those that it starts: no proxy leads back to this machine.

    Raises `InputError` naming the variable if its proxy cannot be used: then no HTTP client could be made at all.
    """
    proxies = {kind: url for kind, url in getproxies().items() if kind in ("http", "https", "all") and url}
    given = ",".join(os.environ.get(name, "") for name in _NO_PROXY).split(",")
    hosts = [host for one in given if (host := one.strip())]
    if not proxies or "*" in hosts:
        return
    for kind, url in proxies.items():
        _check(_variable(kind), url)
        # macOS has system-wide proxies, which count only as long as no variable is set.
        os.environ.setdefault(_variable(kind), url)
    for name in _NO_PROXY:
        os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def _variable(kind: str) -> str:
    names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    return next((name for name in names if os.environ.get(name)), names[0])


def _check(variable: str, url: str) -> None:
    try:
        httpx.HTTPTransport(proxy=url if "://" in url else f"http://{url}").close()
    except ImportError:
        raise InputError(
            f"{variable} names a SOCKS proxy, for which the package socksio is needed: pip install socksio, or unset "
            f"{variable}"
        ) from None
    except (ValueError, httpx.InvalidURL):  # not shown: the URL may hold a password
        raise InputError(
            f"{variable} is no URL of a proxy that can be used here: write http://HOST:PORT, https://, socks5:// or "
            f"socks5h://, or unset {variable}"
        ) from None
