"""Engines that answer many clips at once: prompts, checks, retries and scores around a `LanguageModel`.

A clip whose answer fails a check is asked again, with a fresh seed, in the place it already has, while its neighbours
go on; nobody waits for a round to end. Where the model is is the matter of the subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from merrflow_llama3.chat import Message
from merrflow_llama3.engines import drafts
from merrflow_llama3.engines.drafts import derived_seed
from merrflow_llama3.engines.language_model import Ask, Drawn, LanguageModel, Question, Tokens
from merrflow_llama3.engines.turns import Turns
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import ScoringPrompt, clean_labels, label_scores, load_scoring_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, Reasoned, ReasonItem, Scored, ScoreItem, no_clue
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import MerrflowError, NotReady, TooLarge

MAX_REQUESTS = 64  # clips in one batch: past it a batch takes longer, and hardly more comes out of a second
_LONGEST_TOKEN = 128  # characters, in Llama 3's vocabulary
_MOST_PRIORS = 64  # sets of labels whose scores without clues are kept

Item = ReasonItem | ScoreItem
Result = Reasoned | Scored | MerrflowError


@dataclass
class _Case:
    """A clip being reasoned about. The one thing here that changes: its drafts come one by one."""

    item: ReasonItem
    clues: Clues  # prepared
    question: str
    tokens: Tokens
    drafts: list[drafts.Draft] = field(default_factory=list)
    error: MerrflowError | None = None


@dataclass(frozen=True)
class _Weighing:
    """A clip whose labels are being scored."""

    labels: tuple[str, ...]  # as given
    read: tuple[str, ...]  # the same, as the model reads them
    question: Question  # over the labels in sorted order, so that scores do not depend on the order given


class BatchedReasoner(ABC):
    """An engine of the llama3 service. Subclasses open the model and tell who it is."""

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._prompt_name = settings.prompt or "grounded"
        self._scoring_name = settings.score_prompt or "score"
        self._model: LanguageModel | None = None
        self._turns: Turns
        self._prompt: Prompt
        self._scoring: ScoringPrompt
        self._priors: dict[tuple[str, ...], dict[str, float]] = {}

    @abstractmethod
    def info(self) -> EngineInfo:
        """Engine, model, revision, limits; cheap and without loading."""

    @abstractmethod
    def _open(self, prompt: Prompt) -> tuple[LanguageModel, Turns]:
        """Loads the model for this prompt's sampling. Raises `NotReady`."""

    def load(self) -> None:
        """Loads prompts and model. Raises `NotReady` with what to do."""
        self._prompt, self._scoring = load_prompt(self._prompt_name), load_scoring_prompt(self._scoring_name)
        if self._prompt.guide != "none":
            raise NotReady(
                f"the prompt {self._prompt_name!r} asks for a grammar (guide: {self._prompt.guide}), which only the "
                "engine `llamacpp` has; set MERRFLOW_LLAMA3_PROMPT to `grounded` or `merr`"
            )
        self._model, self._turns = self._open(self._prompt)

    def run(self, batch: Sequence[Item]) -> list[Result]:
        """One result for each item; `InvalidInput` without a clue or usable labels, `TooLarge` beyond the context."""
        if self._model is None:
            raise NotReady("the model is not loaded")
        results: dict[int, Result] = {}
        cases: dict[int, _Case] = {}
        weighings: dict[int, _Weighing] = {}
        for place, item in enumerate(batch):
            try:
                if isinstance(item, ScoreItem):
                    weighings[place] = self._weighing(item)
                else:
                    cases[place] = self._case(item)
            except MerrflowError as error:
                results[place] = error
        self._reason(self._model, list(cases.values()))
        results |= {place: case.error or drafts.best(case.drafts) for place, case in cases.items()}
        results |= zip(weighings, self._weigh(self._model, list(weighings.values())), strict=True)
        return [results[place] for place in range(len(batch))]

    def close(self) -> None:
        """Frees the model's memory."""
        if self._model is not None:
            self._model.close()
            self._model = None

    # -- reasoning

    def compose(self, given: Clues) -> tuple[Clues, str, Tokens]:
        """The prepared clues, the question over them, and the prompt's tokens. Raises `InvalidInput`."""
        clues = self._prompt.prepare(given, self._turns.control_tokens)
        if clues.empty:
            raise no_clue(given)
        question = self._prompt.fill(clues, self._turns.control_tokens)
        return clues, question, self._tokens(self._prompt.conversation(question), self._prompt.answer_starts)

    def _case(self, item: ReasonItem) -> _Case:
        case = _Case(item, *self.compose(item.clues))
        self._fits(len(case.tokens) + self._answer_tokens)
        return case

    def _reason(self, model: LanguageModel, cases: list[_Case]) -> None:
        def finished(place: int, drawn: Drawn | MerrflowError) -> Ask | None:
            case = cases[place]
            if isinstance(drawn, MerrflowError):
                case.error = drawn
                return None
            case.drafts.append(self._draft(case, drawn))
            if not case.drafts[-1].failures or len(case.drafts) == self._settings.attempts:
                return None
            return self._ask(case)

        if cases:
            model.generate([self._ask(case) for case in cases], finished)

    def _ask(self, case: _Case) -> Ask:
        return Ask(case.tokens, derived_seed(case.item.seed, len(case.drafts)), self._answer_tokens)

    def _draft(self, case: _Case, drawn: Drawn) -> drafts.Draft:
        return drafts.check(
            f"{self._prompt.answer_starts}{self._turns.text(drawn.tokens)}".strip(),
            case.clues,
            case.question,
            cut=drawn.cut,
            prompt_tokens=len(case.tokens),
            answer_tokens=len(drawn.tokens),
        )

    # -- scoring

    def _weighing(self, item: ScoreItem) -> _Weighing:
        read = clean_labels(item.labels, self._turns.control_tokens)
        clues, conversation = self._scoring.ask(item.clues, self._turns.control_tokens)
        if clues.empty:
            raise no_clue(item.clues)
        asked = self._tokens(conversation, self._scoring.answer_starts)
        question = Question(asked, self._answers(sorted(read)))
        self._fits(question.longest)
        return _Weighing(item.labels, read, question)

    def _answers(self, labels: Sequence[str]) -> tuple[Tokens, ...]:
        end = self._scoring.end or self._turns.end
        return tuple(self._turns.answer(f"{self._scoring.before}{label}{end}") for label in labels)

    def _weigh(self, model: LanguageModel, weighings: list[_Weighing]) -> list[Scored | MerrflowError]:
        """All clips and, where they are not known yet, the scores without clues, in one go."""
        sets = [tuple(sorted(weighing.read)) for weighing in weighings]
        if len(self._priors) + len(set(sets)) > _MOST_PRIORS:
            self._priors.clear()
        new = [labels for labels in dict.fromkeys(sets) if labels not in self._priors]
        if not weighings:
            return []
        empty = self._turns.prompt(self._scoring.ask_nothing(), self._scoring.answer_starts)
        asked = [weighing.question for weighing in weighings]
        found = model.likelihoods(asked + [Question(empty, self._answers(labels)) for labels in new])
        errors: dict[tuple[str, ...], MerrflowError] = {}
        for labels, told in zip(new, found[len(asked) :], strict=True):
            if isinstance(told, MerrflowError):
                errors[labels] = told
            else:
                self._priors[labels] = dict(zip(labels, told, strict=True))
        return [
            self._scored(weighing, labels, errors.get(labels, told))
            for weighing, labels, told in zip(weighings, sets, found, strict=False)
        ]

    def _scored(
        self, weighing: _Weighing, labels: tuple[str, ...], told: tuple[float, ...] | MerrflowError
    ) -> Scored | MerrflowError:
        if isinstance(told, MerrflowError):
            return told
        likelihoods = dict(zip(labels, told, strict=True))
        scores = label_scores(weighing.labels, weighing.read, likelihoods, self._priors[labels])
        return Scored(scores, len(weighing.question.tokens))

    # -- shared

    @property
    def _answer_tokens(self) -> int:
        return self._settings.answer_tokens or self._prompt.answer_tokens

    def _tokens(self, conversation: Sequence[Message], answer_starts: str) -> Tokens:
        """Raises `InvalidInput`, and `TooLarge` without tokenizing megabytes, for which the whole batch would wait."""
        letters = sum(len(message.content) for message in conversation)
        if letters > _LONGEST_TOKEN * self._settings.context_tokens:
            raise TooLarge(
                f"the clues have {letters} characters and the context holds {self._settings.context_tokens} tokens; "
                "shorten the clues"
            )
        return self._turns.prompt(conversation, answer_starts)

    def _fits(self, tokens: int) -> None:
        if tokens > self._settings.context_tokens:
            raise TooLarge(
                f"prompt and answer have up to {tokens} tokens and the context holds {self._settings.context_tokens}; "
                "shorten the clues or raise MERRFLOW_LLAMA3_CONTEXT_TOKENS"
            )

    def _stamps(self) -> dict[str, str]:
        """Name and hash of all that shapes an answer beside model and code. Raises `NotReady`."""
        prompt = load_prompt(self._prompt_name)
        answer_tokens = self._settings.answer_tokens or prompt.answer_tokens
        return {
            "prompt_version": prompt.stamp(answer_tokens=answer_tokens, attempts=self._settings.attempts),
            "scoring_prompt_version": load_scoring_prompt(self._scoring_name).stamp(),
        }
