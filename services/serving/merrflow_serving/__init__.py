"""What every merrflow model service shares: server, batching, errors, media, settings, metrics.

The names below are what the author of an engine needs. They are imported when they are first used, so that a program
which needs only one module, such as the containers' health check, starts quickly.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

# gRPC's native log would repeat what our errors say. Read when grpc is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

if TYPE_CHECKING:
    from merrflow_serving.answers import Measurement, Outcome, Usage
    from merrflow_serving.engine import (
        Endpoint,
        Engine,
        EngineInfo,
        HasEndpoint,
        HasMemory,
        Interruptible,
        Limits,
        Parallel,
        PlansMemory,
        Reach,
        StopsEarly,
        Wanted,
    )
    from merrflow_serving.errors import (
        Abandoned,
        EngineFault,
        InvalidInput,
        MerrflowError,
        MissingStream,
        NotReady,
        TooLarge,
        UnreadableMedia,
    )
    from merrflow_serving.machine import Memory
    from merrflow_serving.settings import ServiceSettings
    from merrflow_serving.torch.lost import DeviceLost
    from merrflow_serving.torch.need import Need
    from merrflow_serving.torch.settings import TorchSettings

__version__ = "0.1.0"
__all__ = [
    "Abandoned",
    "DeviceLost",
    "Endpoint",
    "Engine",
    "EngineFault",
    "EngineInfo",
    "HasEndpoint",
    "HasMemory",
    "Interruptible",
    "InvalidInput",
    "Limits",
    "Measurement",
    "Memory",
    "MerrflowError",
    "MissingStream",
    "Need",
    "NotReady",
    "Outcome",
    "Parallel",
    "PlansMemory",
    "Reach",
    "ServiceSettings",
    "StopsEarly",
    "TooLarge",
    "TorchSettings",
    "UnreadableMedia",
    "Usage",
    "Wanted",
]
_MODULES = {
    "answers": ("Measurement", "Outcome", "Usage"),
    "engine": (
        "Endpoint",
        "Engine",
        "EngineInfo",
        "HasEndpoint",
        "HasMemory",
        "Interruptible",
        "Limits",
        "Parallel",
        "PlansMemory",
        "Reach",
        "StopsEarly",
        "Wanted",
    ),
    "errors": (
        "Abandoned",
        "EngineFault",
        "InvalidInput",
        "MerrflowError",
        "MissingStream",
        "NotReady",
        "TooLarge",
        "UnreadableMedia",
    ),
    "machine": ("Memory",),
    "settings": ("ServiceSettings",),
    "torch.lost": ("DeviceLost",),
    "torch.need": ("Need",),
    "torch.settings": ("TorchSettings",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
