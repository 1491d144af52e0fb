"""Movements of the face that a claim names, against the Action Units that are there."""

from __future__ import annotations

from collections.abc import Iterator

from merrflow.stages.claims.judge import FACE, Evidence
from merrflow.stages.claims.said import Said, contradicted, not_told, supported
from merrflow.stages.claims.units import unit_mentions
from merrflow.stages.claims.words import QUOTED, load_claim_words


def face(claim: str, evidence: Evidence) -> Iterator[Said]:
    """One for each movement; without any Action Unit in the clues, none is told."""
    there = _there(evidence)
    for mention in unit_mentions(QUOTED.sub(" ", claim)):
        named = "/".join(sorted(mention.units))
        held = [clue for unit in sorted(mention.units) for clue in there.get(unit, ())]
        if mention.denied:
            if held:
                yield contradicted(mention.words, held[0], f"{named} is there")
            continue
        if held:
            yield supported(mention.words, held[0], f"{named} is there")
        elif against := _opposed(mention.units, there):
            yield contradicted(mention.words, there[against][0], f"{named} is not there, but {against} is")
        else:
            yield not_told(mention.words, f"no clue has {named}")


def _there(evidence: Evidence) -> dict[str, list[str]]:
    """Unit -> the clues that have it, the face first."""
    found: dict[str, list[str]] = {unit: [FACE] for unit in sorted(evidence.action_units or ())}
    for name, text in sorted(evidence.told.items(), key=lambda item: item[0] != FACE):
        for mention in unit_mentions(text):
            if not mention.denied:
                for unit in mention.units:
                    found.setdefault(unit, []).append(name)
    return found


def _opposed(units: frozenset[str], there: dict[str, list[str]]) -> str:
    """A unit that is there and excludes all that may be meant; "" if there is none."""
    pairs = [frozenset(pair) for pair in load_claim_words().opposed_units]
    for unit in sorted(there):
        if all(frozenset((unit, one)) in pairs for one in units):
            return unit
    return ""
