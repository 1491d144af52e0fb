"""Which file a case is: a pure function of the seed and the case's number."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import mutate, mutate_lines, splice
from tests.fuzz.seeds import MAKERS, SHARES, TEXTS, seeds


@dataclass(frozen=True)
class Case:
    """One mutated file."""

    kind: str
    data: bytes


def make(seed: int, number: int, kinds: tuple[str, ...] = tuple(MAKERS)) -> Case:
    """Case `number` of a run with `seed` over `kinds`."""
    random = Random(f"{seed}:{number}")
    kind = random.choices(kinds, [SHARES.get(kind, 1) for kind in kinds])[0]
    base = random.choice(seeds(kind))
    if kind in TEXTS and random.random() < 0.6:
        try:
            return Case(kind, mutate_lines(base.decode(), random).encode())
        except UnicodeDecodeError:
            pass
    if random.random() < 0.05:
        base = splice(base, random.choice(seeds(random.choice(kinds))), random)
    return Case(kind, mutate(base, random))
