"""Whether what a run sends to a service goes on to an endpoint beyond this machine and its private network."""

from __future__ import annotations

from collections.abc import Iterable

from merrflow.common.v1 import common_pb2
from merrflow_serving.catalog import SERVICES

NEAR = frozenset({common_pb2.REACH_MACHINE, common_pb2.REACH_PRIVATE})
HOW_TO_ALLOW = (
    "allow it with --allow-remote, MERRFLOW_ALLOW_REMOTE=true or allow_remote: true in the file of settings, or give "
    "the service an endpoint in your own network"
)


def leaves(info: common_pb2.InfoResponse) -> bool:
    """Whether the engine's endpoint is at a public address, or may be: a name that could not be looked up counts.

    A service that still loads may not have looked its endpoint's name up yet, so only its word "public" counts.
    """
    if not info.HasField("endpoint") or info.endpoint.reach in NEAR:
        return False
    return info.ready or info.endpoint.reach == common_pb2.REACH_PUBLIC


def destination(service: str, info: common_pb2.InfoResponse) -> str:
    """Where the service sends what, in words."""
    where = "a public address" if info.endpoint.reach == common_pb2.REACH_PUBLIC else "at an address that is not known"
    return (
        f"{service} sends {SERVICES[service].takes} to {info.endpoint.host or 'an endpoint without a name'} ({where})"
    )


def destinations(infos: Iterable[tuple[str, common_pb2.InfoResponse]]) -> tuple[str, ...]:
    """The same, each once, for every service whose data leaves. infos: of its replicas, beside its name."""
    return tuple(dict.fromkeys(destination(name, info) for name, info in infos if leaves(info)))
