"""Serves the review page until Ctrl-C: on this machine alone, unless it has TLS and a token."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from merrflow.core.errors import InputError
from merrflow.datasets.review.app import review_app
from merrflow.datasets.review.desk import Desk
from merrflow.datasets.review.guard import Guard
from merrflow.datasets.review.web import server_config
from merrflow_serving.credentials import Tokens, is_loopback, read_tokens


@dataclass(frozen=True)
class Listen:
    """Where, and how it is protected."""

    host: str = "127.0.0.1"
    port: int = 4210  # 0: any free one
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None


class _Server(uvicorn.Server):
    """Tells streams to end when it does: they would last as long as their pages."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


def serve(desk: Desk, listen: Listen, say: Callable[[str], None], *, reviewer: str = "", blind: bool = False) -> None:
    """The review page; see `serve_page`."""
    ending = asyncio.Event()
    serve_page(review_app(desk, reviewer, blind, ending), listen, say, ending)


def serve_page(page: ASGIApp, listen: Listen, say: Callable[[str], None], ending: asyncio.Event | None = None) -> None:
    """Blocks until Ctrl-C or SIGTERM. say: told the address. ending: set then, for the page's streams to end.

    Raises `InputError`, `InvalidInput`.
    """
    ending = ending or asyncio.Event()
    tokens = _checked(listen)
    family, kind, protocol, _, address = _address(listen)
    sock = socket.socket(family, kind, protocol)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as error:
            raise InputError(
                f"--port {listen.port}: cannot listen at {listen.host} ({error.strerror}); is another merrflow review "
                "running? Choose another port, or 0 for any free one"
            ) from error
        port = sock.getsockname()[1]
        secure = listen.tls_cert is not None
        app = Guard(page, () if tokens else _names(listen.host, port), Tokens(tokens), secure)
        config = server_config(app, listen.tls_cert, listen.tls_key)
        shown = f"[{listen.host}]" if ":" in listen.host else listen.host
        say(f"http{'s' if secure else ''}://{shown}:{port}/{'?token=TOKEN' if tokens else ''}")
        _Server(config, ending).run(sockets=[sock])


def _checked(listen: Listen) -> Sequence[str]:
    """The tokens. Raises `InputError` for settings that would let strangers in."""
    if (listen.tls_cert is None) != (listen.tls_key is None):
        raise InputError("--tls-cert and --tls-key: give both or neither")
    for path in (listen.tls_cert, listen.tls_key):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: there is no such file")
    tokens = read_tokens("", listen.token_file, "--token-file")
    if not is_loopback(listen.host) and not (tokens and listen.tls_cert):
        raise InputError(
            f"--host {listen.host}: other machines could see faces and change verdicts; give --tls-cert, --tls-key and "
            "--token-file too, or leave --host out"
        )
    return tokens


def _address(listen: Listen) -> tuple[int, int, int, str, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, OverflowError) as error:
        raise InputError(f"--host {listen.host} --port {listen.port}: no such address") from error
    return found[0]


def _names(host: str, port: int) -> tuple[str, ...]:
    shown = f"[{host}]" if ":" in host else host
    return tuple(sorted({f"{name}:{port}" for name in (shown, "127.0.0.1", "localhost", "[::1]")}))
