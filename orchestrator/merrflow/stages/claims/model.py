"""The reasoning model as a judge: for each claim it chooses true, false or unknown, given the clues.

It is asked by the llama3 service's `Score`, which computes how likely each of the three answers is and generates no
text. The service must have been started with the prompt `judge` (MERRFLOW_LLAMA3_SCORE_PROMPT=judge): there the claim
is the one entry of `other_expressions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fingerprint
from merrflow.core.labels import LabelScores
from merrflow.core.texts import Clues
from merrflow.stages.claims.judge import FACE, LABEL, SCENE, VOICE, WORDS, Evidence, Finding, Judgement
from merrflow.stages.stage import Reply
from merrflow.stages.validation import scores_problem

SERVICE = "llama3"
PROMPT = "judge"
ANSWERS = {"true": Finding.SUPPORTED, "false": Finding.CONTRADICTED, "unknown": Finding.NOT_TOLD}
LEAST_SHARE = 0.5  # of the answer that counts; below, the model does not know
_AT_ONCE = 8  # claims that are with the service, so that it can batch


class Scores(Protocol):
    """What is needed of the services."""

    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Reply[LabelScores]: ...


class ModelJudge:
    """Asks with all clues first; if the answer decides, with each clue alone for which of them it was."""

    name = "model"

    def __init__(self, services: Scores, identity: Mapping[str, str]) -> None:
        """identity: of the llama3 engine. Raises `InputError` if the service scores by another prompt than `judge`."""
        prompt = identity.get("scoring_prompt_version", "")
        if not prompt.partition("@")[0].startswith(PROMPT):
            raise InputError(
                f"the llama3 service scores by the prompt {prompt or '(none)'}: to judge claims, start one with "
                f"MERRFLOW_LLAMA3_SCORE_PROMPT={PROMPT}"
            )
        self._services = services
        self.version = fingerprint("1", sorted(ANSWERS), LEAST_SHARE, dict(identity))
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def judge(self, clip: str, claims: Sequence[str], evidence: Evidence) -> list[Judgement]:
        return list(await asyncio.gather(*(self._one(clip, claim, evidence) for claim in claims)))

    async def _one(self, clip: str, claim: str, evidence: Evidence) -> Judgement:
        told = evidence.told
        if not told:
            return Judgement(claim, Finding.NOT_TOLD, reason="there is no clue")
        finding, share, reason = await self._ask(clip, claim, told)
        if finding is Finding.NOT_TOLD:
            return Judgement(claim, finding, reason=reason)
        shares = dict.fromkeys(told, share)
        if len(told) > 1:
            alone = await asyncio.gather(*(self._ask(clip, claim, {name: text}) for name, text in told.items()))
            shares = {name: share for name, (one, share, _) in zip(told, alone, strict=True) if one is finding}
        return Judgement(claim, finding, max(shares, key=lambda name: shares[name], default=""), reason)

    async def _ask(self, clip: str, claim: str, told: Mapping[str, str]) -> tuple[Finding, float, str]:
        """The answer with its share and a reason."""
        async with self._room:
            reply = await self._services.score(clip, question(claim, told), tuple(ANSWERS))
        shares = reply.value.probability
        problem = scores_problem(reply)
        if not problem and shares.keys() != ANSWERS.keys():
            problem = "it has other answers than those asked for"
        if problem:
            return Finding.NOT_TOLD, 0.0, f"the model's answer cannot be used: {problem}"
        best = max(shares, key=lambda answer: shares[answer])
        if shares[best] <= LEAST_SHARE:
            return Finding.NOT_TOLD, shares[best], f"the model is not sure ({best} {shares[best]:.0%})"
        return ANSWERS[best], shares[best], f"the model answers {best} ({shares[best]:.0%})"


def question(claim: str, told: Mapping[str, str]) -> Clues:
    """The claim and the clues as the prompt `judge` takes them; clues of other names go to the scene, named."""
    others = [f"{name}: {text}" for name, text in told.items() if name not in (SCENE, FACE, VOICE, WORDS, LABEL)]
    scene = " ".join(filter(None, (told.get(SCENE, ""), *others)))
    clues = Clues(scene=scene, tone=told.get(VOICE, ""), subtitle=told.get(WORDS, ""), other_expressions=(claim,))
    face = [told[FACE]] if FACE in told else []
    if LABEL in told:
        face.append(f"the person feels {told[LABEL]}")
    return replace(clues, expressions=tuple(face))
