"""Answers and their checks: which attempt is kept, and its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from merrflow_llama3 import checks
from merrflow_llama3.prompt import Prompt
from merrflow_llama3.types import Clues, Reasoned, ReasonItem
from merrflow_serving.answers import Outcome

log = structlog.get_logger()


@dataclass(frozen=True)
class Draft:
    """One generated answer, checked."""

    text: str
    failures: tuple[str, ...]  # empty if it passes
    cut: bool
    refused: bool
    prompt_tokens: int
    answer_tokens: int


def check(
    text: str, clues: Clues, question: str, *, every_clue: bool, cut: bool, prompt_tokens: int, answer_tokens: int
) -> Draft:
    """The answer `text` to `question` over prepared `clues`. every_clue: the prompt asks for all of them. cut: by the
    token limit."""
    text = checks.repaired(text)
    answer = checks.Answer(text, clues, question, cut, every_clue)
    return Draft(
        text=text,
        failures=checks.failures(answer),
        cut=checks.cut_off(answer) is not None,
        refused=checks.refusal(answer) is not None,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
    )


class Reasoning:
    """One clip. Attempts arrive one by one, each drawn by a seed of its own; as `Translating` of a text."""

    def __init__(self, item: ReasonItem, clues: Clues, question: str, prompt: Prompt, attempts: int) -> None:
        """clues: prepared. attempts: how many at most."""
        self._seed = item.seed
        self._clues, self._question, self._prompt = clues, question, prompt
        self._most = attempts
        self._drafts: list[Draft] = []

    def seed(self) -> int:
        """Of the next attempt."""
        return derived_seed(self._seed, len(self._drafts))

    def is_done(self, answer: str, *, cut: bool, prompt_tokens: int, answer_tokens: int) -> bool:
        """Takes an answer. True if it passes the checks, or was the last attempt."""
        draft = check(
            f"{self._prompt.answer_starts}{answer}".strip(),
            self._clues,
            self._question,
            every_clue=self._prompt.every_clue,
            cut=cut,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
        )
        self._drafts.append(draft)
        return not draft.failures or len(self._drafts) == self._most

    def result(self) -> Reasoned:
        """The best attempt."""
        return best(self._drafts)

    def declined(self, reason: str, prompt_tokens: int, answer_tokens: int) -> Reasoned:
        """If the model gives no text at all, which it would do again."""
        attempts = len(self._drafts) + 1
        return Reasoned("", Outcome.REFUSED, f"the model declined: {reason}", prompt_tokens, answer_tokens, attempts)


def best(drafts: Sequence[Draft]) -> Reasoned:
    """The first of the drafts with the fewest failures; its outcome says whether it can be used."""
    chosen = min(drafts, key=lambda draft: len(draft.failures))
    reason = "; ".join(chosen.failures)
    outcome = Outcome.DONE
    if reason:
        log.warning("no usable answer", attempts=len(drafts), reason=reason)
        outcome = Outcome.REFUSED if chosen.refused else Outcome.TRUNCATED if chosen.cut else Outcome.REJECTED
    return Reasoned(chosen.text, outcome, reason, chosen.prompt_tokens, chosen.answer_tokens, len(drafts))


def no_ground(label: str) -> Reasoned:
    """What is answered if no clue bears on the label: better no text than one that argues what does not follow."""
    reason = f'no ground: no expression, voice or words among the clues speak for "{label}"'
    return Reasoned("", Outcome.NO_GROUND, reason if label else "no ground for any feeling in the clues", 0, 0, 0)


def derived_seed(seed: int, attempt: int) -> int:
    """A 32-bit seed for one attempt, never llama.cpp's value for "random" (2**32 - 1)."""
    digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 0xFFFFFFFF
