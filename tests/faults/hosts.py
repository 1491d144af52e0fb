"""Hosts on one machine: network namespaces, joined by a wire in this process that a test can cut or slow down.

Each host has one TUN device; what a host sends is read here and written to the host it is for, or not. So nothing of
the kernel's own is needed beyond namespaces and TUN (no netem, no packet filter), and each direction has its own fate.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_NUMBERS = count(1)


@dataclass
class Link:
    """One direction between two hosts."""

    cut: bool = False
    delay: float = 0.0  # seconds
    jitter: float = 0.0  # seconds, at most, on top
    loss: float = 0.0  # share of the packets


def why_not() -> str:
    """Why hosts cannot be made here; empty where they can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    name = f"merrflow-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "network namespaces cannot be made here"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


class Hosts:
    """Some hosts and the wire between them. Made by `hosts`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"merrflow-{os.getpid()}-{next(_NUMBERS)}"
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 1)}
        self._files: dict[str, int] = {}
        self._names = {bytes(map(int, address.split("."))): name for name, address in self.addresses.items()}
        self._links = {(a, b): Link() for a in names for b in names if a != b}
        self._random = random.Random(1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self.carried = 0  # packets
        self.dropped = 0

    def link(self, sender: str, receiver: str) -> Link:
        return self._links[sender, receiver]

    def both(self, one: str, other: str) -> tuple[Link, Link]:
        return self._links[one, other], self._links[other, one]

    def cut(self, one: str, other: str) -> None:
        """Nothing gets through between these two, either way."""
        for link in self.both(one, other):
            link.cut = True

    def heal(self) -> None:
        """All is well again, everywhere."""
        for pair in self._links:
            self._links[pair] = Link()

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """The command line that runs there; its process is the command's own."""
        return ["ip", "netns", "exec", self._space(host), *map(str, arguments)]

    def popen(self, host: str, arguments: Sequence[str], env: Mapping[str, str], **options: object) -> subprocess.Popen:
        return subprocess.Popen(self.command(host, arguments), env=dict(env), **options)

    def _space(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _open(self) -> None:
        for number, (host, address) in enumerate(self.addresses.items(), 1):
            space = self._space(host)
            _ip("netns", "add", space)
            file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self._files[host] = file
            device = f"mf{os.getpid() % 100_000}x{number}"
            request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(file, _TUNSETIFF, request)
            _ip("link", "set", device, "netns", space)  # the file goes on reading it
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "address", "add", f"{address}/24", "dev", device)
            _ip("-n", space, "link", "set", device, "up")
        self._thread.start()

    def _close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(5)
        for file in self._files.values():
            os.close(file)
        for host in self.addresses:
            subprocess.run(["ip", "netns", "delete", self._space(host)], capture_output=True)

    def _carry(self) -> None:
        hosts = {file: host for host, file in self._files.items()}
        poll = select.poll()
        for file in hosts:
            poll.register(file, select.POLLIN)
        order = count()
        waiting: list[tuple[float, int, int, bytes]] = []  # due, order, file, packet
        while not self._over.is_set():
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, file, packet = heapq.heappop(waiting)
                self._deliver(file, packet)
            pause = min(0.2, waiting[0][0] - now) if waiting else 0.2
            for file, event in poll.poll(max(pause, 0.0) * 1000):
                if not event & select.POLLIN:
                    continue
                with suppress(BlockingIOError):
                    packet = os.read(file, 65536)
                    receiver = self._names.get(packet[16:20]) if packet[0] >> 4 == 4 else None
                    link = self._links.get((hosts[file], receiver))
                    if link is None or link.cut or self._random.random() < link.loss:
                        self.dropped += 1
                        continue
                    due = time.monotonic() + link.delay + self._random.random() * link.jitter
                    heapq.heappush(waiting, (due, next(order), self._files[receiver], packet))

    def _deliver(self, file: int, packet: bytes) -> None:
        self.carried += 1
        with suppress(BlockingIOError, OSError):
            os.write(file, packet)


@contextmanager
def hosts(*names: str) -> Iterator[Hosts]:
    """Hosts of these names, each with its address; gone afterwards. End their processes first."""
    found = Hosts(names)
    try:
        found._open()
        yield found
    finally:
        found._close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
