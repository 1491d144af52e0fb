"""Engines that answer many clips at once: prompts, checks, retries and scores around a `LanguageModel`.

A clip whose answer fails a check is asked again, with a new seed, in the place it already has, while the others go on;
no clip waits for a round to end. Subclasses say where the model is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from merrflow_llama3.chat import Message
from merrflow_llama3.engines.chat_tokenizer import ChatTokenizer
from merrflow_llama3.engines.drafts import Reasoning
from merrflow_llama3.engines.generations import Generation
from merrflow_llama3.engines.language_model import Ask, Drawn, LanguageModel, Question, Tokens
from merrflow_llama3.engines.prompts import longest_answer, prompt_names, prompt_versions
from merrflow_llama3.engines.translations import Translating, translator
from merrflow_llama3.engines.weights_folder import WeightsFolder
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import (
    MOST_PRIORS,
    ScoringPrompt,
    bounded,
    clean_labels,
    label_scores,
    load_scoring_prompt,
    summed,
)
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.translation import TranslationPrompt, load_translation_prompt
from merrflow_llama3.types import Clues, Item, ReasonItem, Result, Scored, ScoreItem, TranslateItem, no_clue
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import MerrflowError, NotReady, TooLarge

_Prior = tuple[tuple[str, ...], Clues]  # labels in sorted order, and clues without content
MAX_REQUESTS = 64  # clips in one batch: more make it take longer, and hardly raise the number of answers a second
_LONGEST_TOKEN = 128  # characters, in Llama 3's vocabulary


@dataclass(frozen=True)
class _Scoring:
    """A clip whose labels are being scored."""

    labels: tuple[str, ...]  # as given
    read: tuple[str, ...]  # the same, as the model reads them
    question: Question  # over the labels in sorted order, so that scores do not depend on the order given
    contentless: Clues  # of the same kinds, for the prior

    @property
    def sorted_labels(self) -> tuple[str, ...]:
        """The labels in the order of the question."""
        return tuple(sorted(self.read))

    @property
    def prior(self) -> _Prior:
        """The key of its prior."""
        return self.sorted_labels, self.contentless


class BatchedReasoner(ABC):
    """An engine of the llama3 service. Subclasses open the model and describe it."""

    engine: ClassVar[str]  # the engine's name
    note: ClassVar[str]
    stops_early = True

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._prompts = prompt_names(settings)
        self._weights = WeightsFolder(settings)
        self._requests = MAX_REQUESTS
        self._model: LanguageModel | None = None
        self._tokenizer: ChatTokenizer
        self._prompt: Prompt
        self._scoring: ScoringPrompt
        self._translation: TranslationPrompt | None = None
        self._priors: dict[_Prior, dict[str, float]] = {}

    @abstractmethod
    def _arithmetic(self) -> tuple[str, str]:
        """Device and number format; cheap and without loading."""

    @abstractmethod
    def _open(self, prompt: Prompt) -> tuple[LanguageModel, ChatTokenizer]:
        """Loads the model for this prompt's sampling. Raises `NotReady`."""

    def info(self) -> EngineInfo:
        """Model and prompts; the same before and after `load`, except for a largest batch that memory decides."""
        device, dtype = self._arithmetic()
        versions: dict[str, str] = {}
        with suppress(NotReady):  # `load` reports it
            versions = prompt_versions(self._settings, self._prompts)
        return EngineInfo(
            engine=self.engine,
            model=self._weights.name,
            revision=self._weights.revision(),
            device=device,
            dtype=dtype,
            **versions,
            licence=self._weights.licence,
            note=self.note,
            limits=Limits(max_batch_size=self._requests, max_tokens=self._settings.context_tokens),
        )

    def load(self) -> None:
        """Loads prompts and model. Raises `NotReady` that says what to do."""
        self._prompt, self._scoring = load_prompt(self._prompts.reasoning), load_scoring_prompt(self._prompts.scoring)
        if self._prompts.translation:
            self._translation = load_translation_prompt(self._prompts.translation)
        if self._prompt.grammar != "none":
            raise NotReady(
                f"the prompt {self._prompts.reasoning!r} asks for a grammar (guide: {self._prompt.grammar}), which "
                "only the engine `llamacpp` has; set MERRFLOW_LLAMA3_PROMPT to `grounded` or `merr`"
            )
        self._model, self._tokenizer = self._open(self._prompt)

    def run(self, batch: Sequence[Item], wanted: Wanted = always) -> list[Result | MerrflowError]:
        """One result for each item; `InvalidInput` without a clue or usable labels, `TooLarge` beyond the context."""
        if self._model is None:
            raise NotReady("the model is not loaded")
        results: dict[int, Result | MerrflowError] = {}
        generations: dict[int, Generation] = {}
        scorings: dict[int, _Scoring] = {}
        for place, item in enumerate(batch):
            try:
                if isinstance(item, ScoreItem):
                    scorings[place] = self._prepare_scoring(item)
                elif isinstance(item, TranslateItem):
                    generations[place] = self._prepare_translation(item)
                else:
                    generations[place] = self._prepare_reasoning(item)
            except MerrflowError as error:
                results[place] = error
        generated = self._generate(self._model, list(generations.values()), _of(wanted, generations))
        results |= zip(generations, generated, strict=True)
        scored = self._score(self._model, list(scorings.values()), _of(wanted, scorings))
        results |= zip(scorings, scored, strict=True)
        return [results[place] for place in range(len(batch))]

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    # -- texts

    def compose(self, given: Clues) -> tuple[Clues, str, Tokens]:
        """The prepared clues, the question over them, and the prompt's tokens. Raises `InvalidInput`, `TooLarge`."""
        clues = self._prompt.prepare(given, self._tokenizer.control_tokens)
        if clues.empty:
            raise no_clue(given)
        question = self._prompt.fill(clues, self._tokenizer.control_tokens)
        return clues, question, self._tokens(self._prompt.conversation(question), self._prompt.answer_starts)

    def _prepare_reasoning(self, item: ReasonItem) -> Generation:
        clues, question, tokens = self.compose(item.clues)
        longest = longest_answer(self._settings, self._prompt)
        self._check_context(len(tokens) + longest)
        reasoning = Reasoning(item, clues, question, self._prompt, self._settings.attempts)
        return Generation(reasoning, tokens, longest)

    def _prepare_translation(self, item: TranslateItem) -> Generation:
        prompt = translator(self._translation)
        translating = Translating(item, prompt, self._settings.attempts, self._tokenizer.control_tokens)
        tokens = self._tokens(translating.conversation)
        self._check_context(len(tokens) + 1)
        room = self._settings.context_tokens - len(tokens)
        return Generation(translating, tokens, min(translating.answer_tokens, room))

    def _generate(
        self, model: LanguageModel, generations: list[Generation], wanted: Wanted
    ) -> list[Result | MerrflowError]:
        errors: dict[int, MerrflowError] = {}

        def finished(place: int, drawn: Drawn | MerrflowError) -> Ask | None:
            if isinstance(drawn, MerrflowError):
                errors[place] = drawn
                return None
            generation = generations[place]
            if generation.is_done(self._tokenizer.text(drawn.tokens), drawn):
                return None
            return generation.ask()

        if generations:
            model.generate([generation.ask() for generation in generations], finished, wanted)
        return [errors.get(place) or generation.result() for place, generation in enumerate(generations)]

    # -- scoring

    def _prepare_scoring(self, item: ScoreItem) -> _Scoring:
        read = clean_labels(item.labels, self._tokenizer.control_tokens)
        clues, conversation = self._scoring.ask(item.clues, self._tokenizer.control_tokens)
        if clues.empty:
            raise no_clue(item.clues)
        asked = self._tokens(conversation, self._scoring.answer_starts)
        question = Question(asked, self._answers(sorted(read)))
        self._check_context(question.longest)
        return _Scoring(item.labels, read, question, self._scoring.without_content(clues))

    def _answers(self, labels: Sequence[str]) -> tuple[Tokens, ...]:
        """All spellings of the first label, then of the next."""
        texts = [text for label in labels for text in self._scoring.spellings(label, self._tokenizer.end)]
        return tuple(map(self._tokenizer.answer, texts))

    def _likelihoods(self, labels: Sequence[str], found: Sequence[float]) -> dict[str, float]:
        """By label, from what was found for `_answers(labels)`."""
        each = iter(found)
        return {
            label: summed([next(each) for _ in self._scoring.spellings(label, self._tokenizer.end)]) for label in labels
        }

    def _score(self, model: LanguageModel, scorings: list[_Scoring], wanted: Wanted) -> list[Scored | MerrflowError]:
        """All clips at once, together with the priors that are not known yet."""
        if not scorings:
            return []
        sets = list(dict.fromkeys(scoring.prior for scoring in scorings))
        if len(self._priors) + len(sets) > MOST_PRIORS:
            self._priors.clear()
        new = [key for key in sets if key not in self._priors]
        asked = [scoring.question for scoring in scorings]
        found = model.likelihoods(
            asked + [self._without_content(*key) for key in new], lambda place: place >= len(asked) or wanted(place)
        )
        errors: dict[_Prior, MerrflowError] = {}
        for key, prior in zip(new, found[len(asked) :], strict=True):
            if isinstance(prior, MerrflowError):
                errors[key] = prior
            else:
                self._priors[key] = bounded(self._likelihoods(key[0], prior), self._scoring.most_correction)
        return [
            self._scored(scoring, errors.get(scoring.prior, likelihoods))
            for scoring, likelihoods in zip(scorings, found, strict=False)
        ]

    def _without_content(self, labels: tuple[str, ...], contentless: Clues) -> Question:
        asked = self._tokenizer.prompt(self._scoring.ask_nothing(contentless), self._scoring.answer_starts)
        return Question(asked, self._answers(labels))

    def _scored(self, scoring: _Scoring, found: tuple[float, ...] | MerrflowError) -> Scored | MerrflowError:
        if isinstance(found, MerrflowError):
            return found
        likelihoods = self._likelihoods(scoring.sorted_labels, found)
        scores = label_scores(scoring.labels, scoring.read, likelihoods, self._priors[scoring.prior])
        return Scored(scores, len(scoring.question.tokens))

    # -- used by both

    def _tokens(self, conversation: Sequence[Message], answer_starts: str = "") -> Tokens:
        """Raises `InvalidInput`; and `TooLarge` before tokenising megabytes, which would hold up the whole batch."""
        characters = sum(len(message.content) for message in conversation)
        if characters > _LONGEST_TOKEN * self._settings.context_tokens:
            raise TooLarge(
                f"the clues have {characters} characters and the context holds {self._settings.context_tokens} "
                "tokens; shorten the clues"
            )
        return self._tokenizer.prompt(conversation, answer_starts)

    def _check_context(self, tokens: int) -> None:
        if tokens > self._settings.context_tokens:
            raise TooLarge(
                f"prompt and answer have up to {tokens} tokens and the context holds {self._settings.context_tokens}; "
                "shorten the clues or raise MERRFLOW_LLAMA3_CONTEXT_TOKENS"
            )


def _of(wanted: Wanted, places: Iterable[int]) -> Wanted:
    """`wanted` for the items at these places of the batch, counted from 0."""
    numbered = tuple(places)
    return lambda index: wanted(numbered[index])
