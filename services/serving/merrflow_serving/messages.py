"""What an engine says of itself, as it is sent. What it cannot say is left out, so that `Info` always answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from merrflow.common.v1 import common_pb2
from merrflow_serving.engine import Engine, EngineInfo, endpoint_of, memory_of
from merrflow_serving.errors import MerrflowError


def engine_message(info: EngineInfo) -> common_pb2.EngineInfo:
    """Engine, model and revision."""
    return common_pb2.EngineInfo(
        **{name: getattr(info, name) for name in common_pb2.EngineInfo.DESCRIPTOR.fields_by_name}
    )


def endpoint_message(engine: Engine[Any, Any]) -> common_pb2.Endpoint | None:
    """Where the engine sends what it is asked, if it computes elsewhere."""
    with suppress(MerrflowError):
        if found := endpoint_of(engine):
            return common_pb2.Endpoint(host=found.host, reach=f"REACH_{found.reach.name}")
    return None


def memory_message(engine: Engine[Any, Any]) -> common_pb2.Memory | None:
    """The memory of the engine's device, if the engine, which is loaded, reports it."""
    with suppress(MerrflowError):
        if found := memory_of(engine):
            return common_pb2.Memory(**asdict(found))
    return None
