"""The reasoning model as a judge of claims."""

from __future__ import annotations

import asyncio

import pytest

from merrflow.core.errors import InputError
from merrflow.core.labels import LabelScores
from merrflow.stages.claims.judge import Evidence, Finding
from merrflow.stages.claims.model import ModelJudge, question
from merrflow.stages.stage import Reply
from merrflow_llama3.scoring import load_scoring_prompt
from merrflow_llama3.types import Clues
from merrflow_serving.errors import NotReady

IDENTITY = {"engine": "fake", "scoring_prompt_version": "judge@1+0"}
SURE = {"true": 0.8, "false": 0.1, "unknown": 0.1}
EVIDENCE = Evidence({"voice": "The voice is loud.", "words": "Stop!"})


class Answers:
    """Answers by what it is asked."""

    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, []

    async def score(self, clip, clues, labels):
        self.asked.append(clues)
        return Reply(LabelScores(self.answer(clues)))


def judge(answer, claims=("the voice is loud",), evidence=EVIDENCE):
    return asyncio.run(ModelJudge(Answers(answer), IDENTITY).judge("clip", claims, evidence))


def test_the_clue_is_the_one_that_alone_gives_the_answer():
    found = judge(lambda clues: SURE if clues.tone else {"true": 0.1, "false": 0.2, "unknown": 0.7})
    assert [(one.finding, one.clue) for one in found] == [(Finding.SUPPORTED, "voice")]


def test_false_is_a_contradiction_and_claims_keep_their_order():
    def answer(clues):
        loud = "loud" in clues.other_expressions[0]
        return {"true": 0.9, "false": 0.1, "unknown": 0.0} if loud else {"true": 0.0, "false": 0.9, "unknown": 0.1}

    found = judge(answer, ["the voice is quiet", "the voice is loud"])
    assert [one.finding for one in found] == [Finding.CONTRADICTED, Finding.SUPPORTED]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"true": 1.0},
        {"true": float("nan"), "false": 0.5, "unknown": 0.5},
        {"happy": 0.5, "sad": 0.5},
        {"true": 0.4, "false": 0.3, "unknown": 0.3},
        {"true": 5.0, "false": 0.0, "unknown": 0.0},
    ],
)
def test_an_answer_that_cannot_be_used_is_not_told(nonsense):
    (found,) = judge(lambda clues: nonsense)
    assert found.finding is Finding.NOT_TOLD
    assert found.reason


def test_without_clues_the_model_is_not_asked():
    services = Answers(lambda clues: SURE)
    found = asyncio.run(ModelJudge(services, IDENTITY).judge("clip", ["she sits"], Evidence({})))
    assert found[0].finding is Finding.NOT_TOLD
    assert not services.asked


def test_a_service_that_is_away_is_no_judgement():
    def away(clues):
        raise NotReady("gone")

    with pytest.raises(NotReady):
        judge(away)


def test_a_service_that_scores_by_another_prompt_is_refused():
    with pytest.raises(InputError, match="MERRFLOW_LLAMA3_SCORE_PROMPT=judge"):
        ModelJudge(Answers(None), {"scoring_prompt_version": "score@2+1"})


def test_the_prompt_has_the_claim_and_every_clue():
    told = {"scene": "A room.", "face": "raised cheeks", "voice": "It is loud", "label": "happy", "other": "Calm."}
    prompt = load_scoring_prompt("judge")
    asked = question("the voice is quiet", told | {"words": "Stop!"})
    clues = Clues(**{name: getattr(asked, name) for name in ("scene", "expressions", "tone", "subtitle")})
    _, turns = prompt.ask(Clues(**(vars(clues) | {"other_expressions": asked.other_expressions})))
    for part in ("A room.", "raised cheeks", "loud", "happy", "other: Calm.", "Stop!", "Claim: the voice is quiet."):
        assert part in turns[-1].content
