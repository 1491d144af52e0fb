"""Ports for what a test starts."""

from __future__ import annotations

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port on `host` that nothing listens on."""
    with socket.socket() as free:
        free.bind((host, 0))
        return free.getsockname()[1]
