"""How far two engines' texts agree: a judge says of each claim of one whether the other bears it out, both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from merrflow.stages.claims.judge import SCENE, VOICE, WORDS, Evidence, Finding, Judge
from merrflow.stages.claims.split import split
from merrflow.stages.stage import Missing, Stage, Work

JUDGE = "judge"  # what GPU phases call its service
_CLUES = {"scene": SCENE, "tone": VOICE, "subtitle_en": WORDS, "reasoning": "description"}  # stage -> clue
TEXTS = frozenset(_CLUES)  # the stages whose answers are texts
_MOST = 12  # claims of a text that are judged: a model that repeats itself must not cost hundreds of calls


@dataclass(frozen=True)
class TextAgreement:
    """How many claims of both texts the other text supports, contradicts, or says nothing of."""

    supported: int
    contradicted: int
    not_told: int
    judge: str

    @property
    def measured(self) -> tuple[Mapping[str, float], str]:
        """The share of supported claims among those that the other text decides, or why there is none."""
        decided = self.supported + self.contradicted
        if not decided:
            return {}, f"the texts tell of different things ({self.not_told} claims, judged by {self.judge})"
        return {f"entailment_{self.judge}": round(self.supported / decided, 4)}, ""


def comparison(stage: Stage[Any], service: str | None) -> Stage[TextAgreement]:
    """The stage that compares a witness's text (the answer of `stage`) with that of the stage that it repeats. service:
    the judge's; None if it needs none."""

    def without(work: Work, own: Any, other: Any) -> Missing | None:
        return None if own and other and own.text.strip() and other.text.strip() else Missing("")

    def key(work: Work, own: Any, other: Any) -> Any:
        return [_judge(work).version, own.text, other.text]

    async def compute(work: Work, own: Any, other: Any) -> TextAgreement:
        judge, counts = _judge(work), Counter[Finding]()
        for text, clue in ((own.text, other.text), (other.text, own.text)):
            evidence = Evidence({_CLUES[stage.repeats]: clue})
            found = await judge.judge(work.clip.name, split(text)[:_MOST], evidence)
            counts.update(one.finding for one in found)
        supported, contradicted, not_told = (counts[finding] for finding in Finding)
        return TextAgreement(supported, contradicted, not_told, judge.name)

    return Stage(
        name=compared(stage.name),
        purpose="how far a second engine's text agrees",
        compute=compute,
        needs=(stage.repeats, stage.name),
        reads_clip=False,
        service=service,
        result=TextAgreement,
        key=key,
        optional=True,
        witness=stage.witness,
        without=without,
    )


def compared(stage: str) -> str:
    """The name of the stage that compares the answer of this witness's stage."""
    return f"agreement:{stage}"


def _judge(work: Work) -> Judge:
    assert work.run.judge is not None
    return work.run.judge
