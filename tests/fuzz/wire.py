"""Mutated messages over real connections, and bytes that are no messages, against real servers."""

from __future__ import annotations

import importlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import grpc

from merrflow_serving.catalog import SERVICES
from merrflow_serving.server import Server
from tests.fuzz import requests
from tests.fuzz.messages import EXPECTED, Result, furnish
from tests.fuzz.services import LIMITS

DEADLINE = 20.0  # seconds for one call
# gRPC's own answer to bytes that are no message, where none of our code has run, is INTERNAL; so it counts as a find
# only where the same bytes parse.


async def fuzz_wire(count: int, seed: int) -> Result:
    """`count` calls of RPCs drawn by chance, to services that run all the while and still answer at the end."""
    result = Result(cases=count)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        furnish(root)
        servers = {}
        for entry in SERVICES.values():
            spec = importlib.import_module(entry.module).SPEC
            spec = replace(spec, engines={"fuzz": "tests.fuzz.services:Engine"})
            servers[entry.name] = Server(spec, spec.settings(engine="fuzz", port=0, media_roots=[root], **LIMITS))
        try:
            for server in servers.values():
                await server.start()
                await server.wait_ready()
            started = time.monotonic()
            await _calls(count, seed, servers, root, result)
            result.seconds = time.monotonic() - started
        finally:
            for server in servers.values():
                await server.stop()
    return result


async def _calls(count: int, seed: int, servers: dict[str, Server], root: Path, result: Result) -> None:
    labels = list(requests.TYPES)
    channels = {name: grpc.aio.insecure_channel(server.address) for name, server in servers.items()}
    try:
        for number in range(count):
            random = Random(f"wire:{seed}:{number}")
            label = random.choice(labels)
            service, rpc = label.split()
            path = f"/{SERVICES[service].proto}/{rpc}"
            streams = rpc.endswith("Stream")
            parts = [requests.make(label, random, root) for _ in range(random.choice((0, 1, 2, 3)) if streams else 1)]
            code = await _one(channels[service], path, parts, streams)
            result.codes[code.name] += 1
            if code not in EXPECTED and (
                code is not grpc.StatusCode.INTERNAL or all(_parses(label, part) for part in parts)
            ):
                result.finds.append((number, f"over the wire: {label}: {code.name}"))
        for name, channel in channels.items():  # they live, and answer what is whole
            label = next(label for label in labels if label.startswith(name) and not label.endswith("Stream"))
            path = f"/{SERVICES[name].proto}/{label.split()[1]}"
            code = await _one(channel, path, [requests.whole(label, root)[0]], False)
            if code is not grpc.StatusCode.OK:
                result.finds.append((count, f"over the wire: {label}: {code.name} for a whole request at the end"))
    finally:
        for channel in channels.values():
            await channel.close()


async def _one(channel: grpc.aio.Channel, path: str, parts: list[bytes], streams: bool) -> grpc.StatusCode:
    async def sent():
        for part in parts:
            yield part

    try:
        if streams:
            await channel.stream_unary(path)(sent(), timeout=DEADLINE)
        else:
            await channel.unary_unary(path)(parts[0], timeout=DEADLINE)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def _parses(label: str, data: bytes) -> bool:
    try:
        requests.TYPES[label].FromString(data)
    except Exception:
        return False
    return True
