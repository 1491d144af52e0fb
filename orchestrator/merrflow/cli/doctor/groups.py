"""The groups of checks, in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from merrflow.cli.doctor import cards, chosen, compose, docker, places, versions, weights
from merrflow.cli.doctor.finding import Check, Finding, Situation
from merrflow_serving.errors import one_line

GROUPS: Mapping[str, tuple[Check, ...]] = MappingProxyType(
    {
        "versions": (versions.versions,),
        "services": (chosen.services,),
        "cards": (cards.driver, cards.torch_build, cards.memory),
        "Docker": (docker.engine, compose.tools, docker.ports),
        "weights": (weights.files, weights.licences, weights.hubs),
        "folders": (places.out, places.weights_disk, compose.weights_folder),
    }
)


def examine(situation: Situation) -> list[tuple[str, Finding]]:
    """Every finding with its group. A check that fails is a finding of its own: the others still help."""
    found: list[tuple[str, Finding]] = []
    for group, checks in GROUPS.items():
        for check in checks:
            try:
                found += [(group, finding) for finding in check(situation)]
            except Exception as error:  # whatever a broken machine makes of it
                words = f"could not be looked at: {one_line(error)}"
                found.append((group, Finding(check.__name__, "missing", words, "report this as a bug of merrflow")))
    return found
