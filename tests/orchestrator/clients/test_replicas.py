"""Several replicas behind one address: who gets the work, and what happens when one goes, comes or differs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from merrflow.clients import Connection, ServiceGone
from merrflow.clients import replicas as module
from merrflow.clients.addresses import targets
from merrflow.clients.replica import State
from merrflow.clients.replicas import ReplicasDiffer
from merrflow.core.settings_file import load_settings
from merrflow_serving.errors import EngineFault, NotReady
from tests.orchestrator.clients.toy_replicas import Echo, Process, replicas, request, start
from tests.ports import free_port

A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"


@asynccontextmanager
async def connected(*hosts: str, port: int, **settings):
    """A warm connection to these hosts."""
    settings = load_settings(None, **{"connect_seconds": 30.0, "retry_seconds": 20.0} | settings)
    connection = Connection("qwen-audio", ",".join(f"{host}:{port}" for host in hosts), settings)
    try:
        await connection.connect()
        await connection.wait_ready()
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def name_leads_to(monkeypatch):
    """Where the DNS name "toy.test" leads to: a list that a test may change."""
    hosts: list[str] = []
    real = socket.getaddrinfo

    def lookup(host, *arguments, **options):
        if host != "toy.test":
            return real(host, *arguments, **options)
        if not hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for one in hosts for entry in real(one, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(module, "LOOKUP_SECONDS", 0.2)
    return hosts


async def all_of(connection: Connection, texts) -> list[str]:
    """The answers without the hosts, and who gave how many."""
    texts = list(texts)
    answers = await asyncio.gather(*(connection.unary("Describe", request(text)) for text in texts))
    said = [answer.text.split() for answer in answers]
    assert [word for word, _ in said] == texts
    return [host for _, host in said]


async def until(condition, seconds: float = 10.0) -> float:
    """Seconds until the condition holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it did not come to pass"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


def states(connection: Connection) -> list[State]:
    return [replica.state for replica in connection.replicas]


async def test_two_have_twice_the_room_and_half_the_work_each():
    texts = [f"{number:03}" for number in range(240)]
    async with replicas(A, B) as (port, _):
        async with connected(A, port=port) as connection:
            assert connection.replicas.room == 8
        async with connected(A, B, port=port) as connection:
            await until(lambda: states(connection) == [State.READY] * 2)
            assert connection.replicas.room == 16
            who = Counter(await all_of(connection, texts))
    assert 0.4 < who[A] / len(texts) < 0.6


async def test_a_name_with_several_addresses(name_leads_to):
    name_leads_to += [A, B]
    async with replicas(A, B) as (port, _), connected("toy.test", port=port) as connection:
        await until(lambda: states(connection) == [State.READY] * 2)
        assert set(await all_of(connection, map(str, range(20)))) == {A, B}


async def test_one_that_comes_later_gets_work_and_one_that_left_is_forgotten(name_leads_to):
    name_leads_to += [A]
    async with replicas(A) as (port, servers), connected("toy.test", port=port) as connection:
        assert set(await all_of(connection, map(str, range(20)))) == {A}
        late = await start(B, port)
        name_leads_to.append(B)
        await until(lambda: states(connection) == [State.READY] * 2)
        assert set(await all_of(connection, map(str, range(20)))) == {A, B}
        name_leads_to.remove(A)
        await servers[0].stop()
        await until(lambda: len(states(connection)) == 1)
        assert set(await all_of(connection, map(str, range(20)))) == {B}
        name_leads_to.clear()  # a name server in trouble changes nothing
        await asyncio.sleep(0.5)
        assert set(await all_of(connection, map(str, range(20)))) == {B}
        await late.stop()


async def test_killed_in_mid_run_no_call_is_lost():
    port = free_port()
    with Process(A, port, 0.1) as one, Process(B, port, 0.1):
        async with connected(A, B, port=port) as connection:
            await until(lambda: states(connection) == [State.READY] * 2)
            work = asyncio.create_task(all_of(connection, map(str, range(100))))
            await asyncio.sleep(0.5)
            one.process.kill()
            who = Counter(await work)
            assert who[A] > 0 and who[B] > 50
            assert sorted(states(connection)) == sorted([State.AWAY, State.READY])


async def test_draining_sends_its_calls_elsewhere_without_a_pause():
    port = free_port()
    with Process(A, port, 0.1) as one, Process(B, port, 0.1):
        async with connected(A, B, port=port) as connection:
            await until(lambda: states(connection) == [State.READY] * 2)
            work = asyncio.create_task(all_of(connection, map(str, range(100))))
            await asyncio.sleep(0.5)
            os.kill(one.process.pid, signal.SIGTERM)
            begun = time.monotonic()
            who = Counter(await work)
            took = time.monotonic() - begun
            assert await asyncio.to_thread(one.process.wait, 10) == 0
            drained = time.monotonic() - begun
    print(f"the rest of 100 calls in {took:.1f} s, the process ended after {drained:.1f} s")
    assert who[A] > 0 and who[B] > 50
    assert took < 4  # what is left for B alone takes some 2 seconds
    assert drained < 4  # the watch does not hold the process up


async def test_calls_that_outlast_a_drain_go_elsewhere():
    async with replicas(A, B) as (port, servers):
        Echo.seconds = 1.0
        try:
            servers[0].service.settings.drain_seconds = 0.2
            async with connected(A, B, port=port) as connection:
                await until(lambda: states(connection) == [State.READY] * 2)
                work = asyncio.create_task(all_of(connection, map(str, range(4))))
                await asyncio.sleep(0.3)
                await servers[0].stop()
                assert set(await work) == {B}
        finally:
            Echo.seconds = 0.02


async def test_not_ready_is_dropped_and_taken_back():
    async with replicas(A, B) as (port, servers), connected(A, B, port=port) as connection:
        await until(lambda: states(connection) == [State.READY] * 2)
        for problem, state in (("", State.LOADING), ("the disk is full", State.BROKEN)):
            servers[0].service.ready, servers[0].service.problem = False, problem
            assert set(await all_of(connection, map(str, range(40)))) == {B}
            await until(lambda state=state: states(connection)[0] is state)
            assert connection.replicas.room == (16 if state is State.LOADING else 8)
            servers[0].service.ready, servers[0].service.problem = True, ""
            took = await until(lambda: states(connection)[0] is State.READY)
            assert took < 3
            assert set(await all_of(connection, map(str, range(40)))) == {A, B}


async def test_work_begins_while_others_load():
    port = free_port()
    async with connected_when_one_is_warm(port) as connection:
        assert set(await all_of(connection, map(str, range(20)))) == {A}
        Echo.loaded.set()
        await until(lambda: states(connection) == [State.READY] * 2)
        assert set(await all_of(connection, map(str, range(20)))) == {A, B}


@asynccontextmanager
async def connected_when_one_is_warm(port: int):
    servers = [await start(A, port)]
    await servers[0].wait_ready()
    Echo.loaded.clear()
    servers.append(await start(B, port))
    try:
        async with connected(A, B, port=port) as connection:
            yield connection
    finally:
        Echo.loaded.set()
        await asyncio.gather(*(server.stop() for server in servers))


@pytest.mark.parametrize(("engine", "what"), [("Newer", "revision is"), ("Shorter", "max_seconds is")])
async def test_replicas_that_differ_are_refused_with_both_addresses(engine, what):
    async with replicas(A) as (port, _):
        other = await start(B, port, engine)
        await other.wait_ready()
        try:
            with pytest.raises(ReplicasDiffer, match="must not mix engines") as refused:
                async with connected(A, B, port=port):
                    pass
        finally:
            await other.stop()
    assert what in str(refused.value) and f"{A}:{port}" in str(refused.value) and f"{B}:{port}" in str(refused.value)


async def test_a_late_one_that_differs_gets_no_call(name_leads_to, caplog):
    name_leads_to += [A]
    async with replicas(A) as (port, servers), connected("toy.test", port=port, retry_seconds=1.0) as connection:
        other = await start(B, port, "Newer")
        await other.wait_ready()
        name_leads_to.append(B)
        await until(lambda: states(connection) == [State.READY, State.REFUSED])
        assert "revision is 2 at 127.0.0.3" in caplog.text
        assert set(await all_of(connection, map(str, range(20)))) == {A}
        await servers[0].stop()
        with pytest.raises(ServiceGone, match="revision is 2 at 127.0.0.3"):
            await connection.unary("Describe", request("a"))
        await other.stop()


async def test_one_that_was_started_anew_with_another_model_is_found_out_by_its_answer():
    async with replicas(A) as (port, servers), connected(A, port=port, retry_seconds=2.5) as connection:
        await servers[0].stop()
        other = await start(A, port, "Newer")
        await other.wait_ready()
        await until(lambda: states(connection) == [State.REFUSED])
        next(iter(connection.replicas)).state = State.READY  # as if nobody had looked since
        with pytest.raises(ServiceGone, match="revision is 2 at .* and 1 at .* before"):
            await connection.unary("Describe", request("a"))
        await other.stop()


async def test_a_clip_that_kills_engines_does_not_take_its_neighbours_along():
    port = free_port()
    with Process(A, port, supervised=True) as one, Process(B, port, supervised=True) as other:
        async with connected(A, B, port=port, retry_seconds=60.0) as connection:
            await until(lambda: states(connection) == [State.READY] * 2, 30)
            texts = [*map(str, range(15)), "poison", *map(str, range(15, 30))]
            answers = await asyncio.gather(
                *(connection.unary("Describe", request(text)) for text in texts), return_exceptions=True
            )
    assert isinstance(answers[15], EngineFault)
    assert [answer.text.split()[0] for answer in answers[:15] + answers[16:]] == [*map(str, range(30))]
    assert one.starts + other.starts <= 2 + 4


async def test_gone_only_when_all_are_gone():
    async with replicas(A, B) as (port, servers), connected(A, B, port=port, retry_seconds=1.0) as connection:
        await servers[0].stop()
        await asyncio.sleep(1.5)
        assert set(await all_of(connection, map(str, range(20)))) == {B}
        await servers[1].stop()
        begun = time.monotonic()
        with pytest.raises(ServiceGone, match="has been away for 1 s"):
            await all_of(connection, map(str, range(20)))
        assert 0.9 < time.monotonic() - begun < 4


async def test_a_cancelled_call_gives_its_place_back():
    async with replicas(A) as (port, _), connected(A, port=port) as connection:
        calls = [asyncio.create_task(connection.unary("Describe", request(str(n)))) for n in range(30)]
        await asyncio.sleep(0.03)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert [replica.in_flight for replica in connection.replicas] == [0]
        assert await all_of(connection, ["a"]) == [A]


async def test_connecting_again_after_a_restart_begins_anew():
    async with replicas(A) as (port, servers), connected(A, port=port, connect_seconds=2.0) as connection:
        await servers[0].stop()
        with pytest.raises(NotReady, match="does not answer"):
            await connection.connect()
        other = await start(A, port, "Newer")
        await connection.connect()
        await connection.wait_ready()
        assert connection.info.engine.revision == "2"
        assert await all_of(connection, ["a"]) == [A]
        await other.stop()


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("127.0.0.1:7", ["ipv4:127.0.0.1:7"]),
        ("127.0.0.1", ["ipv4:127.0.0.1:50053"]),
        ("[::1]:7", ["ipv6:[::1]:7"]),
        ("127.0.0.1:7, 127.0.0.2:7", ["ipv4:127.0.0.1:7", "ipv4:127.0.0.2:7"]),
        ("ipv4:127.0.0.1:7,127.0.0.2:8", ["ipv4:127.0.0.1:7", "ipv4:127.0.0.2:8"]),
        ("dns:///127.0.0.1:7", ["ipv4:127.0.0.1:7"]),
        ("unix:///run/toy.sock", ["unix:///run/toy.sock"]),
        ("127.0.0.1:7,127.0.0.1:7", ["ipv4:127.0.0.1:7"]),
    ],
)
async def test_forms_of_an_address(address, wanted):
    assert list(await targets(address, 50053)) == wanted


async def test_a_host_with_both_families_is_one_replica(monkeypatch):
    entries = [(socket.AF_INET6, 1, 6, "", ("::1", 7, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 7))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: entries)
    assert await targets("localhost:7", 1) == {"ipv4:127.0.0.1:7": "localhost"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: entries[:1])
    assert await targets("localhost:7", 1) == {"ipv6:[::1]:7": "localhost"}


@pytest.mark.parametrize("address", ["", "a b:1", "host:port", "host:", "a:1,,b:1", "::1"])
async def test_an_address_that_is_none_is_told(address):
    connection = Connection("qwen-audio", address, load_settings(None))
    with pytest.raises(NotReady, match="write host:port"):
        await connection.connect()
    await connection.close()
