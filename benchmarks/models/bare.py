"""Imports the engines' code without the services around it, on machines without what servers need."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

SERVICES = ("merrflow_minigpt_v2", "merrflow_qwen_audio", "merrflow_llama3")


def engines_alone() -> None:
    """Makes the modules of each service's package importable even if the package itself is not.

    A service's `__init__` imports its server: gRPC's helpers, metrics, video decoding. Engines on torch do not need
    them. If one of them is missing, the package is registered without running its `__init__`. Raises
    `ModuleNotFoundError` if a service is not on the path at all.
    """
    for name in SERVICES:
        if name in sys.modules:
            continue
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                raise
            sys.modules[name] = _without_init(name)


def _without_init(name: str) -> ModuleType:
    spec = find_spec(name)
    module = ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations)
    module.__spec__ = spec
    return module
