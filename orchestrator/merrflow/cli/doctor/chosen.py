"""The services: which engine each has, and whether it can be had."""

from __future__ import annotations

from collections.abc import Iterator

from merrflow.cli.doctor.engines import Chosen
from merrflow.cli.doctor.finding import Finding, Situation
from merrflow_serving.catalog import SERVICES


def services(situation: Situation) -> Iterator[Finding]:
    """Each service."""
    for one in situation.engines:
        if one.off:
            yield Finding(one.service, "note", "off; a run works without it", "docs/models.md says how to use it")
        elif one.problem:
            yield Finding(one.service, "missing", one.problem, _todo(one))
        else:
            where = f"at {one.address}" if one.address else "on this machine"
            weights = f", weights {', '.join(one.weights)}" if one.weights else ""
            yield Finding(one.service, "ok", f"engine {one.engine}{weights}, {where}")


def _todo(one: Chosen) -> str:
    """Problems of services say themselves what to do; one of this machine may be that the engine is not installed."""
    if one.address:
        return "see `merrflow services`"
    return f"set {SERVICES[one.service].env_prefix}ENGINE to an engine that `merrflow-serve --help` lists"
