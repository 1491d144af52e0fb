"""What the engine `openai` adds to an endpoint: how close it comes to the endpoint's ceiling, and its time per call.

    python -m benchmarks.endpoint
    python -m benchmarks.endpoint --slots 64 --latency 0.5 --items 1000

Throughput: an endpoint in a process of its own answers after a fixed time and works on so many requests at once. The
service minigpt-v2, in another process, is sent all items by gRPC. It has a few more requests in flight than there are
slots, so that the endpoint's own queue is never empty. The endpoint could answer all of them in
ceil(items / slots) * latency seconds. Overhead: the same endpoint without latency, one call after the other: by a bare
`openai` client, by the engine in this process, and by the service through gRPC. Rounds of the three take turns, because
the machine may be shared. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import openai
from PIL import Image

from benchmarks.support.endpoint import endpoint_process
from benchmarks.support.forgetful_service import openai_service
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as rpc
from merrflow_minigpt_v2 import MiniGptSettings, SceneItem
from merrflow_minigpt_v2.engines.openai.engine import OpenAIScenes
from merrflow_minigpt_v2.engines.openai.pictures import data_url

LEAST = 0.95  # of the ceiling
WARM = 20  # calls before those that are measured


@dataclass(frozen=True)
class Found:
    """The figures."""

    items: int
    slots: int
    in_flight: int
    latency: float
    seconds: float  # for all items
    of_ceiling: float
    bare_ms: float  # of one call, the median
    engine_ms: float
    service_ms: float


def picture(number: int) -> np.ndarray:
    """(180, 320, 3) RGB; another for every number, so that no reply is one that was kept."""
    rows, columns = np.mgrid[0:180, 0:320]
    return np.stack([columns + number, rows + number // 256, (rows + columns) // 2], axis=2).astype(np.uint8)


def request(number: int) -> pb.DescribeRequest:
    """`picture` as a file, to be described."""
    buffer = io.BytesIO()
    Image.fromarray(picture(number)).save(buffer, "JPEG", quality=90)
    return pb.DescribeRequest(image={"data": buffer.getvalue()})


def question(number: int) -> Any:
    """The messages that the engine sends of a picture, for a client without it."""
    text = "Describe in one or two plain English sentences what this frame shows."
    image = {"type": "image_url", "image_url": {"url": data_url(picture(number))}}
    return [{"role": "user", "content": [image, {"type": "text", "text": text}]}]


@contextmanager
def endpoint(slots: int, latency: float) -> Iterator[str]:
    """One in a process of its own; yields its URL."""
    with endpoint_process("benchmarks.support.endpoint", slots, latency) as (url, _):
        yield url


@contextmanager
def service(url: str, slots: int) -> Iterator[str]:
    """minigpt-v2 in a process of its own; yields its address once it serves."""
    given = {"OPENAI_CONCURRENCY": str(slots), "MAX_QUEUE": "2000", "MAX_CLIENT_REQUESTS": "2000"}
    environment = os.environ | {f"MERRFLOW_MINIGPT_V2_{name}": value for name, value in given.items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        openai_service("minigpt-v2", url, Path(folder), environment, module="merrflow_serving") as (address, _),
    ):
        yield address


async def send_all(address: str, items: int, at_once: int) -> float:
    """Seconds for that many items, so many of which are under way."""
    requests = list(map(request, range(items)))
    under_way = asyncio.Semaphore(at_once)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.SceneDescriberStub(channel)
        await stub.Describe(request(items))

        async def describe(item: pb.DescribeRequest) -> pb.DescribeResponse:
            async with under_way:
                return await stub.Describe(item)

        started = time.monotonic()
        replies = await asyncio.gather(*map(describe, requests))
        took = time.monotonic() - started
    assert all(reply.text == "A man sits." and reply.usage.calls == 1 for reply in replies)
    return took


def one_call(call: Callable[[int], object], start: int, count: int) -> float:
    """Milliseconds of a call, the median."""
    taken = []
    for number in range(start, start + count):
        started = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - started)
    return 1000 * median(taken[WARM:])


def overheads(rounds: int, calls: int) -> tuple[float, float, float]:
    """Milliseconds of a call: bare client, engine, service."""
    with endpoint(64, 0.0) as url, service(url, 4) as address:
        engine = OpenAIScenes(MiniGptSettings(openai_base_url=url, openai_model="m"))
        engine.load()
        bare = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        channel = grpc.insecure_channel(address)
        stub = rpc.SceneDescriberStub(channel)
        ways: list[Callable[[int], object]] = [
            lambda number: bare.chat.completions.create(model="m", messages=question(number), max_tokens=160),
            lambda number: engine.run([SceneItem(picture(number))]),
            lambda number: stub.Describe(request(number)),
        ]
        found: list[list[float]] = [[], [], []]
        for turn in range(rounds):
            for way, taken in zip(ways, found, strict=True):
                taken.append(one_call(way, 1 + turn * (calls + WARM), calls + WARM))
        engine.close()
        channel.close()
    return median(found[0]), median(found[1]), median(found[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--in-flight", type=int, default=96, help="requests that the service has in flight at once")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with endpoint(given.slots, given.latency) as url, service(url, given.in_flight) as address:
        seconds = asyncio.run(send_all(address, given.items, 2 * given.in_flight))
    best = math.ceil(given.items / given.slots) * given.latency
    bare, engine, served = overheads(given.rounds, given.calls)
    found = Found(
        given.items, given.slots, given.in_flight, given.latency, seconds, best / seconds, bare, engine, served
    )
    print(f"{given.items} items in {seconds:.2f} s: {found.of_ceiling:.1%} of the ceiling ({best:.2f} s)")
    print(f"one call: bare client {bare:.1f} ms, engine {engine:.1f} ms, service by gRPC {served:.1f} ms")
    print(json.dumps(asdict(found)))
    return 0 if found.of_ceiling >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
