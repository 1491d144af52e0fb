"""The rules as a judge: what a claim says of face, voice, words, feeling and people, compared with the clues.

- face: movements by the lexicons' phrases, against the Action Units at the peak and in the face clue;
- voice: qualities of grounding.yaml, against what was measured or, if that decides nothing, the voice clue's words;
- words: quotations, against what is said;
- feeling: against the label; people: a woman where the clues know men alone, and the other way round;
- all else: whether a clue has the claim's words.

One contradiction contradicts the claim; one thing that is not told leaves it untold. Only English is judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from merrflow.core.fingerprint import fingerprint
from merrflow.stages.claims.judge import Evidence, Finding, Judgement
from merrflow.stages.claims.rules_face import face
from merrflow.stages.claims.rules_feeling import feeling
from merrflow.stages.claims.rules_voice import voice
from merrflow.stages.claims.rules_words import people, quotations, rest
from merrflow.stages.claims.said import Said
from merrflow.stages.claims.words import load_claim_words
from merrflow.stages.grounding import load_grounding

VERSION = "2"  # raise it if the code changes a judgement
_FACTS: tuple[Callable[[str, Evidence], Iterator[Said]], ...] = (face, voice, quotations, feeling, people)


@dataclass(frozen=True)
class RuleJudge:
    """Needs no model; takes about a millisecond a claim."""

    name: str = "rules"

    @property
    def version(self) -> str:
        return fingerprint(VERSION, load_claim_words().version, load_grounding().version)

    async def judge(self, clip: str, claims: Sequence[str], evidence: Evidence) -> list[Judgement]:
        return await asyncio.to_thread(lambda: [judged(claim, evidence) for claim in claims])


def judged(claim: str, evidence: Evidence) -> Judgement:
    """One claim."""
    if not evidence.told:
        return Judgement(claim, Finding.NOT_TOLD, reason="there is no clue")
    said = [one for fact in _FACTS for one in fact(claim, evidence)]
    if not any(one.finding is Finding.CONTRADICTED for one in said):
        said += rest(claim, evidence, said)
    for finding in (Finding.CONTRADICTED, Finding.NOT_TOLD, Finding.SUPPORTED):
        for one in said:
            if one.finding is finding:
                return Judgement(claim, finding, one.clue, one.reason)
    return Judgement(claim, Finding.NOT_TOLD, reason="it says nothing that a clue could bear out")
