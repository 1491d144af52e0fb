"""`merrflow services` and `merrflow call`: a look at the services from outside."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from merrflow.cli.terminal import json_text
from merrflow.clients import Connection
from merrflow.clients.addresses import targets
from merrflow.clients.credentials import open_channel, why_refused
from merrflow.clients.remote import destinations
from merrflow.clients.replica import CHANNEL_OPTIONS
from merrflow.clients.rpc import rpcs
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow.llama3.v1 import llama3_pb2
from merrflow.pipeline.local_services import LocalServices
from merrflow.pipeline.log_folder import log_folder
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import NotReady

PROBE_SECONDS = 2.0


def addresses(settings: RunSettings) -> dict[str, str]:
    """Where each service is, or would be on this machine."""
    return {name: settings.address(name) or f"127.0.0.1:{entry.port}" for name, entry in SERVICES.items()}


async def look(config: Path | None) -> list[dict[str, Any]]:
    """Health and Info of each service; if its address leads to several replicas, of each of them."""
    settings = load_settings(config)
    found = addresses(settings)
    looks = await asyncio.gather(*(_look_behind(name, found[name], settings) for name in SERVICES))
    return [item for several in looks for item in several]


async def _look_behind(name: str, address: str, settings: RunSettings) -> list[dict[str, Any]]:
    seen = await look_at(name, address, settings)
    if SERVICES[name].optional and not settings.address(name) and seen[0]["health"] == "UNREACHABLE":
        return [{"service": name, "address": address, "health": "OFF"}]
    return seen


async def look_at(name: str, address: str, settings: RunSettings) -> list[dict[str, Any]]:
    """Health and Info of the service at an address; if that leads to several replicas, of each of them."""
    try:
        found = await asyncio.wait_for(targets(address, SERVICES[name].port), PROBE_SECONDS)
    except NotReady as error:
        return [_unreachable(name, address, str(error))]
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "the look-up takes too long"
        return [_unreachable(name, address, f"{address} leads to no machine ({why}); {_to_start(name)}")]
    if len(found) == 1:
        ((target, host),) = found.items()
        return [await _look_at(name, target, host, address, settings)]
    return await asyncio.gather(
        *(_look_at(name, one, found[one], one.removeprefix("ipv4:"), settings) for one in sorted(found))
    )


async def _look_at(name: str, target: str, host: str, address: str, settings: RunSettings) -> dict[str, Any]:
    """target, host: see `open_channel`. address: how it is called in what is shown."""
    try:
        opened = open_channel(target, host, CHANNEL_OPTIONS, settings)
    except NotReady as error:
        return _unreachable(name, address, str(error))
    async with opened as channel:
        try:
            info = await common_pb2_grpc.EngineStub(channel).Info(
                common_pb2.InfoRequest(), timeout=PROBE_SECONDS, wait_for_ready=True
            )
            request = health_pb2.HealthCheckRequest()
            health = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = why_refused(await _without_waiting(channel) or error)
            if refusal:
                return _unreachable(name, address, f"the service {name} at {address} refuses this client: {refusal}")
            return _unreachable(name, address, f"the service {name} does not answer at {address}; {_to_start(name)}")
    found = MessageToDict(info, preserving_proto_field_name=True)
    if info.service != name:
        problem = f"at {address} is the service {info.service!r}, not {name}"
        return found | {"service": name, "address": address, "health": "NOT_SERVING", "problem": problem}
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    return {"service": name, "address": address, "health": status, **found}


async def _without_waiting(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError | None:
    """The error of a call that does not wait for a connection: it says why there is none."""
    try:
        await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest(), timeout=PROBE_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error
    return None


def _unreachable(name: str, address: str, problem: str) -> dict[str, Any]:
    return {"service": name, "address": address, "health": "UNREACHABLE", "problem": problem}


def _to_start(name: str) -> str:
    return (
        f"start it with `merrflow serve {name}` or `docker-compose up -d {name}`, or set "
        f"{SERVICES[name].env_prefix}ADDRESS to where it is"
    )


def show(found: list[dict[str, Any]], console: Console) -> None:
    """The same as a table, and under it what to do."""
    table = Table("service", "health", "engine", "model", "batch, queue", "memory", "address")
    for item in found:
        engine, limits = item.get("engine", {}), item.get("limits", {})
        table.add_row(
            item["service"],
            _health(item),
            engine.get("engine", ""),
            f"{engine.get('model', '')}\n{engine.get('revision', '')}".strip(),
            f"{limits['max_batch_size']}, {limits['max_queue']}" if limits else "",
            _memory(item.get("memory", {})),
            item["address"],
        )
    console.print(table)
    replicas = Counter(item["service"] for item in found)
    said = set()
    for item in found:
        name = item["service"] if replicas[item["service"]] == 1 else f"{item['service']} at {item['address']}"
        if item.get("problem"):
            console.print(f"{name}: {item['problem']}", style="red", markup=False, soft_wrap=True)
        if item.get("doing"):
            since = f" (for {item.get('doing_seconds', 0):.0f} s)"
            console.print(f"{name}: {item['doing']}{since}", style="yellow", markup=False, soft_wrap=True)
        note = item.get("engine", {}).get("note")
        if item["health"] == "SERVING" and note and (item["service"], note) not in said:
            said.add((item["service"], note))
            console.print(f"{item['service']}: {note}", markup=False, soft_wrap=True)


def _health(item: dict[str, Any]) -> str:
    """Green if it serves, yellow if it will, red if something must be done."""
    loading = item["health"] == "NOT_SERVING" and not item.get("problem")
    colour = {"SERVING": "green", "OFF": "dim"}.get(item["health"], "yellow" if loading else "red")
    return f"[{colour}]{item['health']}[/]"


def _memory(memory: dict[str, str]) -> str:
    """ "14.9 of 79.1 GiB"; JSON writes 64-bit numbers as text."""
    if not memory:
        return ""
    used, total = (int(memory.get(name, 0)) / 2**30 for name in ("used_bytes", "total_bytes"))
    return f"{used:.1f} of {total:.1f} GiB"


async def call_once(
    service: str, file: Path, config: Path | None, say: Callable[[str], None], allow_remote: bool | None = None
) -> str:
    """One request with the file; the answer as JSON. Raises `InputError` or `MerrflowError`.

    allow_remote: the setting; None leaves it as it is."""
    if service not in SERVICES:
        raise InputError(f"there is no service {service!r}; the services are: {', '.join(SERVICES)}")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    settings = load_settings(config, connect_seconds=PROBE_SECONDS, allow_remote=allow_remote)
    request = _request(service, file, data)  # before anything is started
    async with AsyncExitStack() as stack:
        connection = await _reach(stack, service, settings, say)
        say(f"asking {service} at {connection.address}")
        await connection.wait_ready()
        for sentence in destinations((service, replica.info) for replica in connection.replicas):
            say(sentence)
        reply = await connection.send(*request)
    return json_text(MessageToDict(reply, preserving_proto_field_name=True))


async def _reach(stack: AsyncExitStack, service: str, settings: RunSettings, say: Callable[[str], None]) -> Connection:
    """A connection to the service if it runs, or to an embedded one started for this call."""
    connection = Connection(service, addresses(settings)[service], settings)
    stack.push_async_callback(connection.close)
    try:
        await connection.connect()
        return connection
    except NotReady:
        if getattr(settings, f"{service.replace('-', '_')}_address"):
            raise  # a given address that does not answer is an error, not a reason to look elsewhere
    say(f"{service} does not run here; starting an embedded one for this call")
    logs = stack.enter_context(log_folder())
    local = await stack.enter_async_context(LocalServices(logs, None, (service,)))
    plain = settings.for_embedded_services(local.token).model_copy(update={"connect_seconds": 60.0})
    connection = Connection(service, local.addresses[service], plain)
    stack.push_async_callback(connection.close)
    await connection.connect()
    return connection


def _request(service: str, file: Path, data: bytes) -> tuple[Message, bytes | None]:
    """What the service's first RPC takes of the file: a request and media, or if it takes none clues in JSON."""
    rpc = next(iter(rpcs(service).values()))
    return (rpc.request(clip=file.stem), data) if rpc.media else (_request_of_clues(file, data), None)


def _request_of_clues(file: Path, data: bytes) -> Message:
    """Asks for a text; if the clues come with `labels`, for how likely these are instead."""
    try:
        values = json.loads(data)
        labels = values.pop("labels", None)
        clues = ParseDict(values, llama3_pb2.Clues())
        if labels:
            return ParseDict({"labels": labels}, llama3_pb2.ScoreRequest(clip=file.stem, clues=clues))
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not clues in JSON ({error})") from error
    return llama3_pb2.ReasonRequest(clip=file.stem, clues=clues)


def show_settings(console: Console) -> None:
    """The run's settings: name, default, meaning."""
    table = Table("setting", "default", "meaning", "environment variable")
    for name, field in RunSettings.model_fields.items():
        table.add_row(name, str(field.default), field.description, f"MERRFLOW_{name.upper()}")
    console.print(table)
