"""NVIDIA's driver, torch's build for CUDA, the cards, and their memory against what the engines need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from merrflow.cli.doctor.engines import Chosen
from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow.pipeline.gpu_phases.plan import RESERVE, gib
from merrflow_serving.catalog import SERVICES
from merrflow_serving.torch.drivers import BOTH_WAYS, OLDER_BUILD, needs_of

_DRIVER_LINK = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide"


def driver(situation: Situation) -> Iterator[Finding]:
    """The driver, and each card."""
    wanting = _wanting(situation)
    if situation.driver.problem:
        found = situation.driver.problem
        if not wanting:
            yield Finding("driver", "ok", f"{found}; no chosen engine of this machine needs one")
            return
        hint = f"install NVIDIA's driver ({_DRIVER_LINK}); nvidia-smi must show the card"
        if situation.inside and not situation.containers:
            hint = "give the container the card (deploy/compose/gpu.yml)"
        yield Finding("driver", "missing", f"{found}; {_names(wanting)} needs it", f"{hint}, or {_on_cpu(wanting)}")
        return
    yield Finding("driver", "ok", situation.driver.cards[0].driver)
    for card in situation.driver.cards:
        major, minor = card.capability
        memory = f"{gib(card.free)} free of {gib(card.total)}" if card.total else "memory unknown"
        yield Finding(f"card {card.index}", "ok", f"{card.name}, compute capability {major}.{minor}, {memory}")


def torch_build(situation: Situation) -> Iterator[Finding]:
    """Whether torch is built for CUDA, for one that the driver and the cards are new enough for."""
    wanting = _wanting(situation)
    if situation.containers or not wanting:
        return
    build = installed_torch()
    if build is None:
        todo = f"pip install 'merrflow-{wanting[0].service}[torch]'"
        yield Finding("torch", "missing", f"not installed; {_names(wanting)} needs it", todo)
        return
    version, cuda = build
    if not cuda:
        yield Finding("torch", "missing", f"{version}, built without CUDA", f"{BOTH_WAYS}, or {_on_cpu(wanting)}")
        return
    yield Finding("torch", "ok", f"{version}, for CUDA {cuda}")
    needs = needs_of(cuda)
    if needs is None or situation.driver.problem:
        return
    for card in situation.driver.cards:
        major = int(re.match(r"\d*", card.driver)[0] or 0)  # type: ignore[index]  # it always matches
        yield unless(
            major >= needs.driver,
            f"driver for CUDA {needs.major}",
            f"card {card.index}: driver {card.driver}, {needs.driver} or newer is needed",
            BOTH_WAYS,
        )
        yield unless(
            card.capability >= needs.capability or card.capability == (0, 0),
            f"card for CUDA {needs.major}",
            f"card {card.index}: {card.name}, {'.'.join(map(str, needs.capability))} or newer is needed "
            f"(not {needs.without})",
            OLDER_BUILD,
        )


def memory(situation: Situation) -> Iterator[Finding]:
    """Each card's free memory against the engines on it."""
    cards = situation.driver.cards
    by_card: dict[int, list[Chosen]] = {}
    for one in _wanting(situation):
        by_card.setdefault(one.card or 0, []).append(one)
    for index, engines in sorted(by_card.items()):
        if not cards:
            continue
        if index >= len(cards):
            todo = f"choose another card, or {_on_cpu(engines)}"
            yield Finding("card's memory", "missing", f"there is no card {index} for {_names(engines)}", todo)
            continue
        card, needed = cards[index], sum(one.bytes for one in engines) + RESERVE
        parts = ", ".join(f"{one.service} {gib(one.bytes)}" for one in engines)
        if not card.total:
            yield Finding("card's memory", "note", f"card {card.index} does not say what it has; needed: {parts}")
            continue
        least = sum(one.least or one.bytes for one in engines) + RESERVE
        if least <= card.free < needed:
            todo = "nothing; for the largest batches, spread the services over cards, or docs/gpu-sharing.md"
            words = f"{gib(card.free)} free, for all with smaller batches than the largest ({gib(needed)}: {parts})"
            yield Finding("card's memory", "note", f"card {card.index}: {words}", todo)
            continue
        yield unless(
            needed <= card.free,
            "card's memory",
            f"card {card.index}: {gib(card.free)} free, {gib(least)} needed at least (at most {parts})",
            "end what else is on the card (nvidia-smi), spread the services over cards, or run them one after the "
            "other: docs/gpu-sharing.md",
        )


def installed_torch() -> tuple[str, str] | None:
    """torch's version and the CUDA that it is built for, "" for none. Does not import it, which takes seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8", errors="replace")
    version = re.search(r"^__version__ = '([^']*)'", text, re.M)
    cuda = re.search(r"^cuda\b[^=]*= '([^']*)'", text, re.M)
    return (version[1] if version else "unknown version", cuda[1] if cuda else "")


def _wanting(situation: Situation) -> list[Chosen]:
    return [one for one in situation.engines if one.is_here and one.card is not None]


def _names(engines: list[Chosen]) -> str:
    return ", ".join(f"{one.service} with {one.engine}" for one in engines)


def _on_cpu(engines: list[Chosen]) -> str:
    return "compute on the CPU: " + " ".join(f"{SERVICES[one.service].env_prefix}DEVICE=cpu" for one in engines)
