"""Ports for what a test starts."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

_FIRST = 10_000
_EPHEMERAL = (49_152, 65_535)  # IANA's, for systems that do not say what theirs are


def free_port() -> int:
    """A TCP port that nothing listens on, at any address, and that nobody else is given while this process lives.

    It is outside the range from which the kernel takes ports for clients and for servers that ask for port 0. Other
    processes that call this, such as those of pytest-xdist, see by a lock on a file that it is taken.
    """
    folder = Path(tempfile.gettempdir()) / f"merrflow-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    low, high = _ephemeral()
    ports = [*range(_FIRST, low), *range(max(high + 1, _FIRST), 65_536)] or list(range(_FIRST, 65_536))
    for port in (random.choice(ports) for _ in ports):  # to shuffle them takes 20 ms
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as free:
                free.bind(("", port))
            return port  # the lock stays open until this process ends
        os.close(lock)
    raise AssertionError("no port is free")


def _ephemeral() -> tuple[int, int]:
    with suppress(OSError):
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(low), int(high)
    return _EPHEMERAL
