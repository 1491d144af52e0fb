"""A model as the judge: each pair is put to it in both orders.

A language model prefers a place, whatever is there (Zheng et al. 2023, "Judging LLM-as-a-Judge"), so only a preference
that outlives the change of places counts (`result.py`).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

from merrflow.core.datafile import Strict, read
from merrflow.core.errors import RunStopped, ungrouped
from merrflow.core.fingerprint import fingerprint
from merrflow.core.labels import LabelScores
from merrflow.core.texts import Clues
from merrflow.datasets.preference.answers import Answer, Answers, By, Order, chosen
from merrflow.datasets.preference.pairs import Pair
from merrflow.stages.stage import Reply
from merrflow.store import ClipGone
from merrflow_serving.errors import MerrflowError

AT_ONCE = 16  # questions in flight: what several replicas can queue
HOPELESS = 20  # questions without an answer, from the first on, after which no more are asked
_NAMES = re.compile(r"\{(scene|first|second|places)\}")
_DECIDES = ("engine", "model", "revision", "dtype", "scoring_prompt_version")


class Scorer(Protocol):
    """The part of `clients.Services` that is used."""

    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Reply[LabelScores]: ...


class Places(Strict):
    """What the model calls the two texts."""

    first: str
    second: str


class JudgeFile(Strict):
    """See judge.yaml."""

    version: str
    places: Places
    question: str


@cache
def judge_file() -> JudgeFile:
    """The wording that comes with the package."""
    return read(files("merrflow.datasets.preference") / "judge.yaml", JudgeFile)


@dataclass(frozen=True)
class Unanswered:
    """What the model was asked in this run and did not answer."""

    asked: int
    reasons: Mapping[str, int]  # why -> questions; they are asked again by the next run
    first: str = ""  # the first of them, in full
    stopped: str = ""  # why nothing more was asked; "" if all was


def judge_name(identity: Mapping[str, str]) -> str:
    """What the answers of a model are kept under: another model, prompt or wording is another judge."""
    decides = {key: identity[key] for key in _DECIDES if key in identity}
    digest = fingerprint(decides, judge_file().model_dump())[:8]
    return f"{identity.get('engine', '')} {identity.get('model', '')} [{digest}]".strip()


def question(pair: Pair, order: Order) -> Clues:
    """The clues that both runs share, and both texts in this order."""
    file = judge_file()
    first, second = (pair.a, pair.b) if order is Order.AB else (pair.b, pair.a)
    places = f"{file.places.first} or {file.places.second}"
    told = {"scene": pair.clues.scene, "first": first.text, "second": second.text, "places": places}
    scene = _NAMES.sub(lambda name: told[name[1]], file.question)  # what is put in is not looked at again
    return Clues(scene.strip(), pair.clues.expressions, pair.clues.tone, pair.clues.subtitle)


def place_of(scores: Mapping[str, float]) -> str | None:
    """The likelier place, or "same"; None for an answer that gives no shares of the two."""
    file = judge_file()
    try:
        first, second = float(scores[file.places.first]), float(scores[file.places.second])
    except (KeyError, TypeError, ValueError):
        return None
    if (
        len(scores) != 2
        or not all(math.isfinite(one) and 0 <= one <= 1 for one in (first, second))
        or not first + second
    ):
        return None
    return "same" if math.isclose(first, second, abs_tol=1e-9) else "first" if first > second else "second"


async def ask(
    pairs: Sequence[Pair], answers: Answers, scorer: Scorer, name: str, advance: Callable[[int, int], None]
) -> Unanswered:
    """Puts every pair to the model in both orders, but for what it has answered already.

    advance: told how many questions are done, of how many. What a service that is away leaves open, the next run asks.
    """
    given = {(one.pair, one.order) for one in await asyncio.to_thread(answers.all) if one.judge == name}
    open_questions = [
        (pair, order) for pair in pairs if not pair.identical for order in Order if (pair.id, order) not in given
    ]
    asking = _Asking(answers, scorer, name, len(open_questions), advance)
    waiting = iter(open_questions)

    async def work() -> None:
        for pair, order in waiting:
            if asking.stopped:
                return
            await asking.one(pair, order)

    with ungrouped():
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(open_questions))):
                group.create_task(work())
    return Unanswered(len(open_questions), dict(asking.reasons), asking.first, asking.stopped)


class _Asking:
    """One run of `ask`."""

    def __init__(
        self, answers: Answers, scorer: Scorer, name: str, total: int, advance: Callable[[int, int], None]
    ) -> None:
        self._answers, self._scorer, self._name = answers, scorer, name
        self._total, self._advance = total, advance
        self._done = 0
        self._answered = False
        self.reasons: Counter[str] = Counter()
        self.first = ""
        self.stopped = ""

    async def one(self, pair: Pair, order: Order) -> None:
        file = judge_file()
        try:
            reply = await self._scorer.score(
                pair.b.name, question(pair, order), (file.places.first, file.places.second)
            )
            place = place_of(reply.value.probability)
            if place is None:
                self._fail(
                    "the answer is no preference", f"{pair.b.name}: the model's answer is no share of two places"
                )
            else:
                answer = Answer(pair.id, By.MODEL, self._name, order, chosen(order, place))
                await asyncio.to_thread(self._answers.keep, answer, fingerprint("compare", answer))
                self._answered = True
        except ClipGone:
            self._fail("the clip is gone from the ledger", f"{pair.b.name}: its file was replaced, or it is gone")
        except RunStopped:
            raise
        except MerrflowError as error:
            if error.retryable:
                self.stopped = f"{error} [{error.reason}]"
            else:
                self._fail(error.reason, f"{pair.b.name}: {error}")
        self._done += 1
        self._advance(self._done, self._total)

    def _fail(self, reason: str, message: str) -> None:
        self.reasons[reason] += 1
        self.first = self.first or message
        if not self._answered and self.reasons.total() >= HOPELESS:
            self.stopped = f"the first {HOPELESS} questions got no answer that can be used ({self.first})"
