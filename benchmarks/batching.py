"""How close dynamic batching comes to the ceiling that a model's latency and batch size set.

    python -m benchmarks.batching
    python -m benchmarks.batching --latency 0.2 --batch 32 --clients 1 --clients 256 --seconds 20

A service (minigpt-v2, with an engine that takes a fixed time for a batch, however full) runs in a process of its own.
Clients, all in this process, ask again as soon as they have their answer. With n clients a batch can hold at most n
items, so the ceiling is min(n, batch) / latency. All rounds are repeated, because the machine may be shared. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import grpc
import numpy as np
from PIL import Image

from benchmarks.support.fixed_services import Pace, fixed_services
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as rpc

LIMIT = 0.9  # of the ceiling, if there are twice as many clients as a batch holds


@dataclass(frozen=True)
class Round:
    """One number of clients, for a while."""

    clients: int
    rate: float  # answers a second
    of_ceiling: float  # share of what clients, batch and latency allow
    p50: float  # seconds from asking to the answer
    p99: float
    mean_batch: float  # items
    refused: int  # calls refused, which the client repeats


def ceiling(pace: Pace, clients: int) -> float:
    """Answers a second at most: no batch can hold more than there are clients."""
    return min(clients, pace.batch) / pace.seconds


def summed(
    pace: Pace, clients: int, seconds: float, taken: Sequence[float], sizes: Sequence[int], refused: int
) -> Round:
    """A round's figures. taken: seconds of each answer; sizes: of the batch it was in."""
    rate = len(taken) / seconds
    cuts = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else [taken[0]] * 99
    mean_batch = len(sizes) / sum(1 / size for size in sizes)
    return Round(clients, rate, rate / ceiling(pace, clients), cuts[49], cuts[98], mean_batch, refused)


async def measure(address: str, pace: Pace, clients: int, seconds: float) -> Round:
    """Clients that ask repeatedly for `seconds`, after one batch that is not timed."""
    request = pb.DescribeRequest(clip="clip")
    request.image.data = _picture()
    taken: list[float] = []
    sizes: list[int] = []
    refused = 0
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.SceneDescriberStub(channel)
        await _first_answer(stub, request)
        started = loop.time() + pace.seconds  # until then the first batches form
        ends = started + seconds

        async def client() -> None:
            nonlocal refused
            while loop.time() < ends:
                asked = loop.time()
                try:
                    reply = await stub.Describe(request)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    refused += 1
                    await asyncio.sleep(pace.seconds)
                    continue
                if started <= loop.time() <= ends:
                    taken.append(loop.time() - asked)
                    sizes.append(reply.timing.batch_size)

        await asyncio.gather(*(client() for _ in range(clients)))
    return summed(pace, clients, seconds, taken, sizes, refused)


def main() -> None:
    options = _options()
    pace = Pace(options.latency, options.batch)
    numbers = options.clients or [1, 8, 64, 256]
    before, cpu = os.getloadavg()[0], time.process_time()
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as folder:
        with fixed_services(Path(folder), {"minigpt-v2": pace}) as running:
            address = running["minigpt-v2"].address
            rounds = [
                asyncio.run(measure(address, pace, clients, options.seconds))
                for _ in range(options.repeat)
                for clients in numbers
            ]
            service = running["minigpt-v2"].stop()
    print(f"{pace.batch} items in {pace.seconds:g} s; {os.cpu_count()} cores, load {before:.1f} at first")
    print("clients  ceiling/s   rate/s  of ceiling (runs)      p50      p99  mean batch  limit")
    best = [_middle([one for one in rounds if one.clients == clients]) for clients in numbers]
    for one in best:
        runs = ", ".join(f"{r.of_ceiling:.0%}" for r in rounds if r.clients == one.clients)
        limit = f"{LIMIT:.0%}" if one.clients >= 2 * pace.batch else ""
        print(
            f"{one.clients:7} {ceiling(pace, one.clients):10.1f} {one.rate:8.1f}  {one.of_ceiling:6.1%} ({runs}) "
            f"{one.p50 * 1000:6.0f} ms {one.p99 * 1000:5.0f} ms {one.mean_batch:8.1f}  {limit}"
        )
    print(
        json.dumps(
            {
                "benchmark": "batching",
                "latency_seconds": pace.seconds,
                "batch": pace.batch,
                "load": before,
                "cores": os.cpu_count(),
                "client_cpu_seconds": round(time.process_time() - cpu, 2),
                "service_cpu_seconds": round(service.cpu_seconds, 2),
                "limit_of_ceiling": LIMIT,
                "reached": all(one.of_ceiling >= LIMIT for one in best if one.clients >= 2 * pace.batch),
                "rounds": [{key: round(value, 4) for key, value in asdict(one).items()} for one in rounds],
            }
        )
    )


async def _first_answer(stub: rpc.SceneDescriberStub, request: pb.DescribeRequest) -> None:
    """Returns once the service answers."""
    for _ in range(600):
        try:
            await stub.Describe(request, wait_for_ready=True)
            return
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(0.1)
    raise RuntimeError("the service did not become ready within a minute")


def _middle(rounds: Sequence[Round]) -> Round:
    """The round of the median rate."""
    rate = median(one.rate for one in rounds)
    return min(rounds, key=lambda one: abs(one.rate - rate))


def _picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((64, 96, 3), 128, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds of a batch; default: 0.2")
    parser.add_argument("--batch", type=int, default=16, help="items; default: 16")
    parser.add_argument("--clients", type=int, action="append", help="default: 1, 8, 64 and 256")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round; default: 5")
    parser.add_argument("--repeat", type=int, default=2, help="how often all rounds are done; default: 2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
