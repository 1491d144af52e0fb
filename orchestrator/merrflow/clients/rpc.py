"""The services' RPCs as their .proto files describe them: paths, types of messages, and which field holds media.

So the catalog alone names the services, and an RPC needs no entry of its own here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from merrflow.common.v1 import common_pb2
from merrflow_serving.catalog import SERVICES

CHUNK = 1 << 19  # bytes; below any message limit that can be set


@dataclass(frozen=True)
class Rpc:
    """One RPC of a service."""

    service: str  # its name in the catalog
    name: str  # "Describe"
    path: str  # "/merrflow.qwen_audio.v1.ToneDescriber/Describe"
    request: type[Message]
    reply: type[Message]
    media: str  # the request's field for media; empty if it takes none


@cache
def rpcs(service: str) -> dict[str, Rpc]:
    """The RPCs of a service of the catalog, by name and in the order of its .proto file."""
    found = _descriptor(SERVICES[service].proto)
    return {method.name: _rpc(service, found, method) for method in found.methods}


def rpc_taking(request: Message) -> Rpc:
    """The RPC that takes this request. Each takes a type of message of its own."""
    found = (rpc for name in SERVICES for rpc in rpcs(name).values() if rpc.request is type(request))
    return next(found)


async def streamed(rpc: Rpc, request: Message, data: bytes) -> AsyncIterator[Message]:
    """A request and its media as the parts that the RPC `<name>Stream` takes: the request first, then chunks."""
    part = rpcs(rpc.service)[f"{rpc.name}Stream"].request
    yield part(request=request)
    for start in range(0, len(data), CHUNK):
        yield part(chunk=data[start : start + CHUNK])


def _descriptor(proto: str) -> ServiceDescriptor:
    package, _, name = proto.rpartition(".")
    module = import_module(f"{package}.{package.split('.')[1]}_pb2")
    found: ServiceDescriptor = module.DESCRIPTOR.services_by_name[name]
    return found


def _rpc(service: str, found: ServiceDescriptor, method: MethodDescriptor) -> Rpc:
    media = [field.name for field in method.input_type.fields if field.message_type is common_pb2.Media.DESCRIPTOR]
    return Rpc(
        service,
        method.name,
        f"/{found.full_name}/{method.name}",
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        media[0] if media else "",
    )
