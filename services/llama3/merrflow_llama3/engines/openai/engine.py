"""Asks an endpoint to reason, to translate and to score labels, with the service's own prompts, checks and attempts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from merrflow_llama3.engines.drafts import Reasoning
from merrflow_llama3.engines.openai.config import endpoint_file
from merrflow_llama3.engines.openai.labels import LabelScorer, messages
from merrflow_llama3.engines.prompts import longest_answer, prompt_names, prompt_versions
from merrflow_llama3.engines.translations import Translating, translator
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import load_scoring_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.translation import TranslationPrompt, load_translation_prompt
from merrflow_llama3.types import (
    Item,
    Reasoned,
    ReasonItem,
    Result,
    ScoreItem,
    Translated,
    TranslateItem,
    no_clue,
)
from merrflow_serving.answers import Outcome
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import NotReady
from merrflow_serving.openai.engine import Calls, OpenAIEngine
from merrflow_serving.openai.replies import Reply

NOTE = "a language model behind an endpoint"


class OpenAIReasoner(OpenAIEngine[Llama3Settings, Item, Result]):
    """Item: `ReasonItem`, `ScoreItem` or `TranslateItem`."""

    def __init__(self, settings: Llama3Settings) -> None:
        super().__init__(settings, "merrflow-llama3")
        self._names = prompt_names(settings)
        self._versions: dict[str, str] = {}
        self._prompt: Prompt
        self._translation: TranslationPrompt | None = None
        self._scorer: LabelScorer

    def prepare(self) -> None:
        prompt = load_prompt(self._names.reasoning)
        scoring = load_scoring_prompt(self._names.scoring)
        for one, kind in ((prompt, "PROMPT"), (scoring, "SCORE_PROMPT")):
            if one.answer_starts or getattr(one, "grammar", "none") != "none":
                raise NotReady(
                    f"the prompt {one.name!r} needs a grammar, or begins the answer, which an endpoint cannot: set "
                    f"{self.settings.variable(kind)} to another"
                )
        self._prompt, self._scorer = prompt, LabelScorer(scoring)
        if self._names.translation:
            self._translation = load_translation_prompt(self._names.translation)
        self._versions = self._read_versions()

    def check(self, calls: Callable[[], Calls]) -> None:
        """Finds out how labels are scored. Raises `NotReady` if the endpoint gives no answer."""
        self._scorer.find_method(calls)

    def info(self) -> EngineInfo:
        """Model and prompts, without any call."""
        versions = self._versions
        with suppress(NotReady):  # `load` reports it
            versions = versions or self._read_versions()
        return self.identity(Limits(), note=NOTE, **versions)

    def answer(self, item: Item, calls: Callable[[str], Calls]) -> Result:
        """Raises `InvalidInput` without a clue, a text or usable labels, and what `Calls.chat` raises."""
        if isinstance(item, ScoreItem):
            return self._scorer.score(item, calls(self._versions["scoring_prompt_version"]))
        if isinstance(item, TranslateItem):
            return self._translate(item, calls(self._versions["translation_prompt_version"]))
        return self._reason(item, calls(self._versions["prompt_version"]))

    def _reason(self, item: ReasonItem, calls: Calls) -> Reasoned:
        tokens = endpoint_file().control_tokens
        clues = self._prompt.prepare(item.clues, tokens)
        if clues.empty:
            raise no_clue(item.clues)
        question = self._prompt.fill(clues, tokens)
        asked = messages(self._prompt.conversation(question))
        reasoning = Reasoning(item, clues, question, self._prompt, self.settings.attempts)
        longest = longest_answer(self.settings, self._prompt)
        done = False
        while not done:
            reply = calls.chat(asked, **self._drawn(reasoning.seed()), max_tokens=longest)
            counts = reply.usage
            if reply.outcome is Outcome.REFUSED and not reply.text:  # by a filter, or for no reason that is told
                why = reply.why or "it gave no text"
                return replace(reasoning.declined(why, counts.input_tokens, counts.output_tokens), usage=calls.usage)
            done = reasoning.is_done(reply.text, **_counted(reply))
        return replace(reasoning.result(), usage=calls.usage)

    def _translate(self, item: TranslateItem, calls: Calls) -> Translated:
        prompt = translator(self._translation)
        translating = Translating(item, prompt, self.settings.attempts, endpoint_file().control_tokens)
        asked = messages(translating.conversation)
        done = False
        while not done:
            reply = calls.chat(asked, **self._drawn(translating.seed()), max_tokens=translating.answer_tokens)
            done = translating.is_done(reply.text, **_counted(reply))
        return replace(translating.result(), usage=calls.usage)

    def _drawn(self, seed: int | None) -> dict[str, Any]:
        """How an attempt is drawn; None for the likeliest tokens. Only what the protocol itself has: others are no part
        of it, and some endpoints refuse them (give them as the extra body)."""
        sampling = self._prompt.sampling
        if seed is None:
            return {"temperature": 0.0}
        return {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}

    def _read_versions(self) -> dict[str, str]:
        added = endpoint_file().stamp(extra=self.extra())
        versions = prompt_versions(self.settings, self._names)
        return {name: f"{version}, {added}" if version else "" for name, version in versions.items()}


def _counted(reply: Reply) -> dict[str, Any]:
    counts = reply.usage
    cut = reply.outcome is Outcome.TRUNCATED
    return {"cut": cut, "prompt_tokens": counts.input_tokens, "answer_tokens": counts.output_tokens}
