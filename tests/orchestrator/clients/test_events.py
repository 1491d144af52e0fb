"""Lost replicas and calls that are tried again are reported, with the clip."""

from __future__ import annotations

import asyncio

from merrflow.clients import Connection
from merrflow.clients.events import EventKind, ServiceEvent
from merrflow.core.settings_file import load_settings
from merrflow.core.signal import Signal
from tests.orchestrator.clients.toy_replicas import replicas, request, start

A, B = "127.0.0.2", "127.0.0.3"


async def test_a_replica_that_goes_and_one_that_comes_back_are_reported_once():
    events: Signal[[ServiceEvent]] = Signal()
    heard: list[ServiceEvent] = []
    events.connect(heard.append)
    async with replicas(A, B) as (port, servers):
        connection = Connection("qwen-audio", f"{A}:{port},{B}:{port}", load_settings(), events)
        try:
            await connection.connect()
            await connection.wait_ready()
            while not all(replica.state == "ready" for replica in connection.replicas):
                await asyncio.sleep(0.05)
            assert heard == [], "the first time that a replica is ready is no event"
            await servers[0].stop()
            await asyncio.gather(*(connection.unary("Describe", request(str(n)), f"clip{n}") for n in range(10)))
            while not heard:
                await asyncio.sleep(0.05)
            again = await start(A, port)
            while heard[-1].kind is not EventKind.BACK:
                await asyncio.sleep(0.05)
            await again.stop()
        finally:
            await connection.close()
    lost = [event for event in heard if event.kind is EventKind.LOST]
    assert len({event.text.split(" gets")[0] for event in lost}) == 1
    assert f"qwen-audio at {A}:{port} gets no calls" in lost[0].text and "1 of 2 replicas ready" in lost[0].text
    assert "is ready again" in heard[-1].text
    assert all(event.clip.startswith("clip") for event in heard if event.kind is EventKind.RETRY)


async def test_a_call_that_is_tried_again_names_its_clip_and_why():
    events: Signal[[ServiceEvent]] = Signal()
    heard: list[ServiceEvent] = []
    events.connect(heard.append)
    async with replicas(A) as (port, servers):
        connection = Connection("qwen-audio", f"{A}:{port}", load_settings(), events)
        try:
            await connection.connect()
            await connection.wait_ready()
            calls = [asyncio.create_task(connection.unary("Describe", request(str(n)), f"clip{n}")) for n in range(20)]
            await asyncio.sleep(0.03)
            await servers[0].stop()
            again = await start(A, port)
            await asyncio.gather(*calls)
            await again.stop()
        finally:
            await connection.close()
    retries = [event for event in heard if event.kind is EventKind.RETRY]
    assert retries and {event.service for event in retries} == {"qwen-audio"}
    assert all(event.clip.startswith("clip") and "asked again: " in event.text for event in retries)
