"""One thing that a claim says, as a rule judges it."""

from __future__ import annotations

from dataclasses import dataclass

from merrflow.stages.claims.judge import Finding


@dataclass(frozen=True)
class Said:
    """What a rule finds of it."""

    finding: Finding
    words: str  # of the claim
    clue: str = ""
    reason: str = ""


def supported(words: str, clue: str, reason: str) -> Said:
    return Said(Finding.SUPPORTED, words, clue, reason)


def contradicted(words: str, clue: str, reason: str) -> Said:
    return Said(Finding.CONTRADICTED, words, clue, reason)


def not_told(words: str, reason: str) -> Said:
    return Said(Finding.NOT_TOLD, words, "", reason)
