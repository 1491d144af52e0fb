"""What gRPC's own clients never send: messages that stop halfway, bombs, thousands of streams, answers nobody reads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from merrflow_serving import health
from tests.security.raw_http2 import DESCRIBE, Attacker, frame, memory

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
OUT_OF_ROOM = "8"  # RESOURCE_EXHAUSTED
TOO_LATE = "4"  # DEADLINE_EXCEEDED
BESIDE = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
SERVER = """
import asyncio, json, sys
from merrflow_serving import logs
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC
async def main():
    logs.configure("error", "json")
    server = Server(SPEC, ServiceSettings(port=0, drain_seconds=0, **json.loads(sys.argv[1])))
    await server.start()
    await server.wait_ready()
    print(server.address, flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@contextmanager
def process(settings: str = "{}") -> Iterator[tuple[int, str]]:
    """A service in a process of its own, so that its memory is its own: pid and address."""
    started = subprocess.Popen(
        [sys.executable, "-c", SERVER, settings], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield started.pid, started.stdout.readline().strip()
    finally:
        started.kill()
        started.communicate()


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


async def test_messages_that_stop_halfway_hold_up_their_own_kind_alone(start):
    """gRPC hands a message over when its last byte is there, so no count sees the bytes before: few arrive at once."""
    server = await start(max_held_mib=16, max_message_mib=1, idle_seconds=60)  # two at once: an eighth of 16
    attacker = await asyncio.to_thread(Attacker, server.address)

    def attack() -> list[str | None]:
        half = frame(b"x" * 100, announced=MIB)
        attacker.send({attacker.open(DESCRIBE): half for _ in range(2)}, 1)
        third, other = attacker.open(DESCRIBE), attacker.open("/merrflow.common.v1.Engine/Info")
        for stream in (third, other):
            attacker.http.send_data(stream, frame(b""), end_stream=True)
        attacker.exchange(1.0)
        waits = [attacker.status.get(third), attacker.status.get(other)]
        for stream in range(1, third, 2):
            attacker.http.reset_stream(stream)
        attacker.exchange(1.0)
        return [*waits, attacker.status.get(third)]

    assert await asyncio.to_thread(attack) == [None, "0", "3"]  # 3: there are no media in it
    attacker.close()


def test_a_message_that_unpacks_to_many_times_its_size_is_refused_before_it_does():
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(pack.compress(bytes(MIB)) for _ in range(256)) + pack.flush()
    with process() as (pid, address), closing(Attacker(address)) as attacker:
        before = memory(pid)
        stream = attacker.open(DESCRIBE, ("grpc-encoding", "gzip"))
        attacker.send({stream: frame(bomb, compressed=True)}, 10)
        attacker.exchange(1.0)
        assert attacker.status[stream] == OUT_OF_ROOM
        assert len(bomb) < MIB and memory(pid) - before < 100


@pytest.mark.parametrize("path", BESIDE)
async def test_calls_that_only_look_are_bounded_and_take_no_ones_place(start, path):
    server = await start(max_client_requests=5, idle_seconds=60)

    def attack() -> Counter[str]:
        with closing(Attacker(server.address)) as attacker:
            for _ in range(50):
                stream = attacker.open(path)
                if path.endswith("Watch"):
                    attacker.http.send_data(stream, frame(b""), end_stream=True)
            attacker.exchange(1.0)
            other = attacker.open("/merrflow.common.v1.Engine/Info")
            attacker.http.send_data(other, frame(b""), end_stream=True)
            attacker.exchange(0.5)
            return Counter(attacker.status.values())

    assert await asyncio.to_thread(attack) == {OUT_OF_ROOM: 45, "0": 1}
    await asyncio.sleep(0.2)  # the connection is gone, and so are its calls
    assert (await asyncio.to_thread(health.check, server.address))[0]


async def test_a_health_check_that_never_asks_is_ended(start):
    server = await start(idle_seconds=0.5, token="a-token-that-is-not-needed")

    def attack() -> str | None:
        with closing(Attacker(server.address)) as attacker:
            stream = attacker.open(BESIDE[0])
            attacker.exchange(1.5)
            return attacker.status.get(stream)

    assert await asyncio.to_thread(attack) == TOO_LATE


async def test_a_watcher_that_reads_nothing_holds_up_neither_health_nor_the_end(start):
    server = await start()
    attacker = await asyncio.to_thread(Attacker, server.address, 0)
    stream = attacker.open(BESIDE[1])
    attacker.http.send_data(stream, frame(b""), end_stream=True)
    await asyncio.to_thread(attacker.exchange, 0.3)
    async with asyncio.timeout(5):
        for status in (2, 1) * 50:
            await asyncio.sleep(0)
            server._set_health(status)
        assert (await asyncio.to_thread(health.check, server.address))[0]
        await server.stop()
    attacker.close()


def test_ten_thousand_calls_begun_and_taken_back_leave_nothing():
    with process() as (pid, address), closing(Attacker(address)) as attacker:
        for count in range(10_000):
            attacker.http.reset_stream(attacker.open(DESCRIBE))
            if count % 100 == 0:
                attacker.exchange()
        attacker.exchange(0.3)
        assert memory(pid) < 200 and health.check(address)[0]
