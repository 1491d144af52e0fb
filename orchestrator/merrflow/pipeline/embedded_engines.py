"""The engines of the embedded services, without starting any."""

from __future__ import annotations

from collections.abc import Iterable

from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.catalog import NEEDED
from merrflow_serving.engine import EngineInfo


def embedded_engines(names: Iterable[str] = NEEDED) -> dict[str, EngineInfo]:
    """The info of each engine that would be started here. Starts none.

    Raises `MerrflowError` if one is not installed or its settings are wrong.
    """
    return {name: embedded_engine(name) for name in names}


def embedded_engine(name: str, engine: str = "", **settings: str) -> EngineInfo:
    """The same of one service. engine: "" for the one that the environment says. settings: beside the environment's."""
    spec = load_spec(name)
    found: EngineInfo = spec.make_engine(
        read_settings(spec, **settings, **({"engine": engine} if engine else {}))
    ).info()
    return found
