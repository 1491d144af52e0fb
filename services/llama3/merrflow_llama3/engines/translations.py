"""A text being translated: its question, its attempts one after the other, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from merrflow_llama3 import translation_checks
from merrflow_llama3.chat import Message
from merrflow_llama3.engines.drafts import derived_seed
from merrflow_llama3.translation import TranslationPrompt
from merrflow_llama3.types import Translated, TranslateItem
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import InvalidInput

log = structlog.get_logger()


def translator(prompt: TranslationPrompt | None) -> TranslationPrompt:
    """The prompt. Raises `InvalidInput` if the engine has none."""
    if prompt is None:
        raise InvalidInput("this model does not translate", reason="NO_TRANSLATION")
    return prompt


class Translating:
    """One text. Attempts arrive one by one: the first takes the likeliest tokens, the others are drawn by seed."""

    def __init__(
        self, item: TranslateItem, prompt: TranslationPrompt, attempts: int, control_tokens: Iterable[str]
    ) -> None:
        """attempts: how many at most. Raises `InvalidInput` if there is nothing to translate."""
        tokens = tuple(control_tokens)
        self._source = prompt.source(item, tokens)
        self._frame = f"{prompt.system}\n{prompt.fill('', item.language)}"
        self._seed = item.seed
        self._most = attempts
        self._attempts = 0
        self.conversation: list[Message] = prompt.conversation(prompt.fill(self._source, item.language, tokens))
        self.answer_tokens = prompt.longest(self._source)
        self._translated: Translated

    def seed(self) -> int | None:
        """Of the next attempt; None for the likeliest tokens."""
        return derived_seed(self._seed, self._attempts) if self._attempts else None

    def is_done(self, answer: str, *, cut: bool, prompt_tokens: int, answer_tokens: int) -> bool:
        """Takes an answer. True if it is a translation, or was the last attempt."""
        self._attempts += 1
        text = translation_checks.tidied(answer, self._source)
        attempt = translation_checks.Attempt(text, self._source, self._frame, cut)
        failures = translation_checks.failures(attempt)
        if failures and self._attempts < self._most:
            return False
        outcome, reason = Outcome.DONE, "; ".join(failures)
        if failures:
            log.warning("no translation", attempts=self._attempts, reason=reason)
            declined = translation_checks.refusal(attempt) is not None
            outcome = Outcome.REFUSED if declined else Outcome.TRUNCATED if cut else Outcome.REJECTED
            text = ""
        self._translated = Translated(text, outcome, reason, prompt_tokens, answer_tokens, self._attempts)
        return True

    def result(self) -> Translated:
        """The translation, or why there is none."""
        return self._translated
