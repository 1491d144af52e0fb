"""What an engine that answers many clips at once generates for each: a description, or a translation.

Answers arrive one by one; a generation says whether another attempt is wanted, and what came out in the end.
"""

from __future__ import annotations

from typing import Protocol

from merrflow_llama3.engines import drafts
from merrflow_llama3.engines.language_model import Ask, Drawn, Tokens
from merrflow_llama3.engines.translations import Translating
from merrflow_llama3.prompt import Prompt
from merrflow_llama3.types import Clues, Reasoned, ReasonItem, Translated


class Generation(Protocol):
    """A clip for which text is generated. Its answers arrive one by one."""

    def ask(self) -> Ask:
        """The next attempt."""
        ...

    def is_done(self, answer: str, drawn: Drawn) -> bool:
        """Takes an answer. True if it was good, or the last attempt."""
        ...

    def result(self) -> Reasoned | Translated: ...


class Reasoning:
    """A clip being reasoned about."""

    def __init__(
        self,
        item: ReasonItem,
        clues: Clues,
        question: str,
        tokens: Tokens,
        attempts: int,
        answer_tokens: int,
        prompt: Prompt,
    ) -> None:
        """clues: prepared. tokens: of the whole prompt. attempts, answer_tokens: at most."""
        self._clues = clues
        self._question = question
        self._tokens = tokens
        self._seed = item.seed
        self._attempts = attempts
        self._answer_tokens = answer_tokens
        self._prompt = prompt
        self._drafts: list[drafts.Draft] = []

    def ask(self) -> Ask:
        return Ask(self._tokens, drafts.derived_seed(self._seed, len(self._drafts)), self._answer_tokens)

    def is_done(self, answer: str, drawn: Drawn) -> bool:
        draft = drafts.check(
            f"{self._prompt.answer_starts}{answer}".strip(),
            self._clues,
            self._question,
            every_clue=self._prompt.every_clue,
            cut=drawn.cut,
            prompt_tokens=len(self._tokens),
            answer_tokens=len(drawn.tokens),
        )
        self._drafts.append(draft)
        return not draft.failures or len(self._drafts) == self._attempts

    def result(self) -> Reasoned:
        return drafts.best(self._drafts)


class Translation:
    """A text being translated."""

    def __init__(self, translating: Translating, tokens: Tokens, answer_tokens: int) -> None:
        """tokens: of the prompt."""
        self._translating = translating
        self._tokens = tokens
        self._answer_tokens = answer_tokens

    def ask(self) -> Ask:
        return Ask(self._tokens, self._translating.seed(), self._answer_tokens)

    def is_done(self, answer: str, drawn: Drawn) -> bool:
        return self._translating.is_done(
            answer, cut=drawn.cut, prompt_tokens=len(self._tokens), answer_tokens=len(drawn.tokens)
        )

    def result(self) -> Translated:
        return self._translating.result()
