"""What an engine that answers many clips at once generates for each: a description, or a translation.

Answers arrive one by one; a generation says whether another attempt is wanted, and what came out in the end.
"""

from __future__ import annotations

from merrflow_llama3.engines.drafts import Reasoning
from merrflow_llama3.engines.language_model import Ask, Drawn, Tokens
from merrflow_llama3.engines.translations import Translating
from merrflow_llama3.types import Reasoned, Translated


class Generation:
    """A clip for which text is generated."""

    def __init__(self, work: Reasoning | Translating, tokens: Tokens, answer_tokens: int) -> None:
        """tokens: of the whole prompt. answer_tokens: at most."""
        self._work = work
        self._tokens = tokens
        self._answer_tokens = answer_tokens

    def ask(self) -> Ask:
        """The next attempt."""
        return Ask(self._tokens, self._work.seed(), self._answer_tokens)

    def is_done(self, answer: str, drawn: Drawn) -> bool:
        """Takes an answer. True if it was good, or the last attempt."""
        return self._work.is_done(
            answer, cut=drawn.cut, prompt_tokens=len(self._tokens), answer_tokens=len(drawn.tokens)
        )

    def result(self) -> Reasoned | Translated:
        return self._work.result()
