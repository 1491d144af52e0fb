"""The `llamacpp` engine: a GGUF model in this process, through xllamacpp's binding of llama.cpp's server.

Determinism: the text depends only on the clues, the seed, the prompt and the model. One sequence is worked on at a
time, and before each clip the key-value cache is cut back to the part of the prompt that all clips share, so that
neither the others of a batch nor earlier clips change the order in which numbers are added. Little is lost by that: on
a CPU this model takes 12 ms for a token of a long prompt and 16 ms for one of an answer, so several answers at once
would hardly be faster than one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from merrflow_llama3 import gguf_files
from merrflow_llama3.chat import ChatTemplate
from merrflow_llama3.engines.drafts import Reasoning, no_ground
from merrflow_llama3.engines.llamacpp.binding import LoadedModel, Slot
from merrflow_llama3.engines.llamacpp.label_scorer import LabelScorer
from merrflow_llama3.engines.prompts import longest_answer, prompt_names, prompt_versions
from merrflow_llama3.engines.translations import Translating, translator
from merrflow_llama3.gguf import GGUFHeader
from merrflow_llama3.grammar import answer_grammar
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import load_scoring_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.translation import TranslationPrompt, load_translation_prompt
from merrflow_llama3.types import (
    Clues,
    Item,
    Reasoned,
    ReasonItem,
    Result,
    ScoreItem,
    Translated,
    TranslateItem,
    no_clue,
)
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import MerrflowError, NotReady
from merrflow_serving.machine import physical_cores
from merrflow_serving.packaged import file_sha256

_REASONING, _SCORING, _TRANSLATING = range(3)  # slots of the model; the third only if it translates
_MOST_THREADS = 4  # more cost more in waiting for each other than a small model gains


class LlamaCpp:
    """Answers one clip at a time; see the module's docstring."""

    stops_early = True

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._packaged = settings.model_path is None
        self._prompts = prompt_names(settings, small_model=self._packaged)
        self._model: LoadedModel | None = None
        self._slot: Slot
        self._scorer: LabelScorer
        self._prompt: Prompt
        self._translation: TranslationPrompt | None = None
        self._translating: Slot
        self._header: GGUFHeader
        self._template: ChatTemplate

    # -- the interface of merrflow_serving.engine.Engine

    def info(self) -> EngineInfo:
        """Model and prompts, from the file's header and hash; what is missing stays empty until `load` reports it."""
        limits = Limits(max_batch_size=1, max_tokens=self._settings.context_tokens)
        note = "any GGUF through its own chat template"
        if self._packaged:
            note = (
                "a small model (135 million parameters) under a grammar: it chooses among the clues and the words "
                "of a lexicon, and cites only what a table says bears on the label; its scores of labels are weak "
                "evidence (27 % of 177 clips right among 9 labels, chance 11 %)"
            )
        versions: dict[str, str] = {}
        try:
            versions = prompt_versions(self._settings, self._prompts)
            path = gguf_files.locate(self._settings.model_path)
            header = gguf_files.header(path)
            revision = f"sha256:{file_sha256(path)}"
        except NotReady:
            model = gguf_files.PACKAGED_NAME if self._packaged else str(self._settings.model_path)
            return EngineInfo("llamacpp", model, "", note=note, limits=limits, **versions)
        return EngineInfo(
            engine="llamacpp",
            model=gguf_files.PACKAGED_NAME if self._packaged else header.name,
            revision=revision,
            device="cpu",
            dtype=header.quantisation,
            **versions,
            licence=header.licence,
            note=note,
            limits=limits,
        )

    def load(self) -> None:
        """Loads model and prompts, and computes the part of each prompt that all clips share. Raises `NotReady`."""
        self._prompt, scoring = load_prompt(self._prompts.reasoning), load_scoring_prompt(self._prompts.scoring)
        if self._prompts.translation:
            self._translation = load_translation_prompt(self._prompts.translation)
        path = gguf_files.locate(self._settings.model_path)
        if self._packaged:
            gguf_files.PACKAGED.check(path)
        self._header = gguf_files.header(path)
        try:
            self._template = ChatTemplate(self._header)
            shared = self._template.before_question(self._prompt.conversation)
            shared_scoring = self._template.before_question(scoring.conversation)
            if self._translation:
                shared_translation = self._template.before_question(self._translation.conversation)
        except ValueError as error:
            raise NotReady(f"{path} cannot be used for a conversation: {error}") from error
        threads = self._settings.threads or min(physical_cores(), _MOST_THREADS)
        slots = 3 if self._translation else 2
        self._model = model = LoadedModel(
            path, context_tokens=self._settings.context_tokens, threads=threads, slots=slots
        )
        self._slot = Slot(model, _REASONING, shared)
        if self._translation:
            self._translating = Slot(model, _TRANSLATING, shared_translation)
        self._scorer = LabelScorer(model, Slot(model, _SCORING, shared_scoring), scoring, self._template, self._header)

    def run(self, batch: Sequence[Item], wanted: Wanted = always) -> list[Result | MerrflowError]:
        """One result for each item; `InvalidInput` without a clue or usable labels, `TooLarge` beyond the context."""
        results: list[Result | MerrflowError] = []
        for place, item in enumerate(batch):
            try:
                results.append(self._answer(item, partial(wanted, place)))
            except MerrflowError as error:
                results.append(error)
        return results

    def close(self) -> None:
        """Ends llama.cpp's threads and removes its socket."""
        if self._model is not None:
            self._model.close()
            self._model = None

    # -- one clip

    def _answer(self, item: Item, is_wanted: Callable[[], bool]) -> Result:
        if self._model is None:
            raise NotReady("the model is not loaded")
        if isinstance(item, ScoreItem):
            return self._scorer.score(item, is_wanted)
        if isinstance(item, TranslateItem):
            return self._translate(item, is_wanted)
        return self._reason(item, is_wanted)

    def _reason(self, item: ReasonItem, is_wanted: Callable[[], bool]) -> Reasoned:
        clues, question, prompt = self.compose(item.clues)
        guided = self._prompt.grammar == "clues"
        grammar = answer_grammar(clues) if guided else ""
        if guided and not grammar:
            return no_ground(clues.label)
        self._slot.rewind()
        reasoning = Reasoning(item, clues, question, self._prompt, self._settings.attempts)
        longest, sampling = longest_answer(self._settings, self._prompt), self._prompt.sampling.model_dump()
        done = False
        while not done:
            drawn = sampling | {"seed": reasoning.seed(), "grammar": grammar}
            reply = self._slot.complete(prompt, answer_tokens=longest, is_wanted=is_wanted, **drawn)
            done = reasoning.is_done(**_answer_of(reply))
        return reasoning.result()

    def _translate(self, item: TranslateItem, is_wanted: Callable[[], bool]) -> Translated:
        prompt = translator(self._translation)
        translating = Translating(item, prompt, self._settings.attempts, self._header.control_tokens)
        asked = self._template.render(translating.conversation)
        self._translating.rewind()
        done = False
        while not done:
            seed = translating.seed()
            sampling = {"temperature": 0.0} if seed is None else self._prompt.sampling.model_dump() | {"seed": seed}
            reply = self._translating.complete(
                asked, answer_tokens=translating.answer_tokens, is_wanted=is_wanted, **sampling
            )
            done = translating.is_done(**_answer_of(reply))
        return translating.result()

    def compose(self, given: Clues) -> tuple[Clues, str, str]:
        """The prepared clues, the question over them, and the whole prompt as the model reads it.

        Raises `InvalidInput` if there is nothing to reason over.
        """
        clues = self._prompt.prepare(given, self._header.control_tokens)
        if not self._prompt.has_clue(given, self._header.control_tokens):
            raise no_clue(given)
        question = self._prompt.fill(clues, self._header.control_tokens)
        prompt = self._template.render(self._prompt.conversation(question)) + self._prompt.answer_starts
        return clues, question, prompt


def _answer_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    choice, counts = reply["choices"][0], reply["usage"]
    return {
        "answer": choice["text"],
        "cut": choice["finish_reason"] == "length",
        "prompt_tokens": counts["prompt_tokens"],
        "answer_tokens": counts["completion_tokens"],
    }
