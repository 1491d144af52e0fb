"""What guided.py runs: for each target how a case is tried, and mutations that keep a case nearly of its kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import structlog

from tests.fuzz import child, messages, requests
from tests.fuzz.guided import DEADLINE, PARTS
from tests.fuzz.mutate import mutate, mutate_lines
from tests.fuzz.seeds import seeds
from tests.fuzz.services import rpcs
from tests.fuzz.targets import Broken

NESTED = ("rules", "lexicon", "settings")
DEEPEST = 300  # YAML's reader takes the square of it, and more when it is watched; files.py tries 2,000


@dataclass(frozen=True)
class Target:
    """`run` tries a case, and raises what must never be raised. `change` mutates one. `close` ends what it started."""

    run: Callable[[bytes], None]
    change: Callable[[bytes, Random], bytes]
    close: Callable[[], None] = lambda: None


def build(name: str, folder: Path) -> Target:
    """A target by its name (guided.TARGETS), after one case. folder: an empty one, for files and as the media root."""
    return _rpc(name.replace("/", " "), folder) if "/" in name else _file(name, folder)


def _file(kind: str, folder: Path) -> Target:
    for whole in seeds(kind):
        child.run_in(folder, kind, whole)

    def run(data: bytes) -> None:
        if kind not in NESTED or max(map(data.count, (b"[", b"{", b"- "))) < DEEPEST:
            child.run_in(folder, kind, data)

    def change(data: bytes, random: Random) -> bytes:
        return mutate_lines(data.decode(errors="replace"), random).encode(errors="replace")

    return Target(run, change)


def _rpc(label: str, media: Path) -> Target:
    messages.furnish(media)
    structlog.configure(processors=[messages.drop])
    loop = asyncio.new_event_loop()
    services = rpcs(media)  # they run as long as this is held
    rpc = loop.run_until_complete(services.__aenter__())[label]

    async def one(data: bytes) -> None:
        parts = data.split(PARTS) if rpc.streams else [data]
        code = await asyncio.wait_for(messages.send(rpc, parts), DEADLINE - 1)
        if code and code not in messages.EXPECTED:
            raise Broken(f"{code.name}: {' '.join(messages.faults)}")

    def run(data: bytes) -> None:
        loop.run_until_complete(one(data))

    def change(data: bytes, random: Random) -> bytes:
        parts = data.split(PARTS) if rpc.streams else [data]
        at = random.randrange(len(parts))
        few = random.random() < 0.3
        parts[at] = mutate(parts[at], random) if few else requests.change(label, parts[at], random, media)
        return PARTS.join(parts)

    def close() -> None:
        loop.run_until_complete(services.__aexit__(None, None, None))
        loop.close()

    run(requests.whole(label, media)[0])
    return Target(run, change, close)
