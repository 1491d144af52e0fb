"""The `llamacpp` engine: a GGUF model in this process, through xllamacpp's binding of llama.cpp's server.

Determinism: the text depends on the clues, the seed, the prompt and the model alone. One sequence is worked on at
a time, and before each clip the key-value cache is taken back to the part of the prompt that all clips share, so
that neither neighbours in a batch nor earlier clips change how the numbers are added up. Little is lost by that: on
a CPU this model takes 12 ms for a token of a long prompt and 16 ms for one of an answer, so several answers at once
would hardly be faster than one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from merrflow_llama3 import guide, weights
from merrflow_llama3.chat import ChatTemplate
from merrflow_llama3.cores import default_threads
from merrflow_llama3.engines.binding import LoadedModel
from merrflow_llama3.engines.drafts import Draft, best, check, derived_seed
from merrflow_llama3.engines.scorer import Scorer
from merrflow_llama3.gguf import GGUFHeader
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import load_scoring_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, Reasoned, ReasonItem, Scored, ScoreItem, no_clue
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import MerrflowError, NotReady
from merrflow_serving.packaged import file_sha256

_REASONING, _SCORING = 0, 1  # slots of the model
_MARK = "MERRFLOW-QUESTION"  # where the fixed part of a conversation ends


class LlamaCpp:
    """Answers one clip at a time; see the module's text."""

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._packaged = settings.model_path is None
        self._prompt_name = settings.prompt or ("small" if self._packaged else "grounded")
        self._scoring_name = settings.score_prompt or ("score_small" if self._packaged else "score")
        self._model: LoadedModel | None = None
        self._scorer: Scorer | None = None
        self._prompt: Prompt
        self._header: GGUFHeader
        self._template: ChatTemplate
        self._fixed = ""

    # -- the contract of merrflow_serving.engine.Engine

    def info(self) -> EngineInfo:
        """Model and prompt, from the file's header and hash; what is missing stays empty until `load` says why."""
        limits = Limits(max_batch_size=1, max_tokens=self._settings.context_tokens)
        note = "any GGUF through its own chat template"
        if self._packaged:
            note = (
                "a small model (135 million parameters) under a grammar: it chooses among the clues and the words "
                "of a lexicon, and does not weigh whether the clues support the label; its scores of labels are weak "
                "evidence (27 % of 177 clips right among 9 labels, chance 11 %)"
            )
        stamps: dict[str, str] = {}
        try:
            stamps = self._stamps()
            path = weights.locate(self._settings.model_path)
            header = weights.header(path)
            revision = f"sha256:{file_sha256(path)}"
        except NotReady:
            model = weights.PACKAGED_NAME if self._packaged else str(self._settings.model_path)
            return EngineInfo("llamacpp", model, "", note=note, limits=limits, **stamps)
        return EngineInfo(
            engine="llamacpp",
            model=weights.PACKAGED_NAME if self._packaged else header.name,
            revision=revision,
            device="cpu",
            dtype=header.quantisation,
            **stamps,
            licence=header.licence,
            note=note,
            limits=limits,
        )

    def load(self) -> None:
        """Loads model and prompt, and computes the part of the prompt that all clips share. Raises `NotReady`."""
        self._prompt = load_prompt(self._prompt_name)
        path = weights.locate(self._settings.model_path)
        self._header = weights.header(path)
        if self._packaged:
            weights.PACKAGED.check(path)
        try:
            self._template = ChatTemplate(self._header)
            self._fixed = self._template.render(self._prompt.conversation(_MARK)).split(_MARK)[0]
        except ValueError as error:
            raise NotReady(f"{path} cannot be used for a conversation: {error}") from error
        scoring = load_scoring_prompt(self._scoring_name)
        threads = self._settings.threads or default_threads()
        self._model = LoadedModel(path, context_tokens=self._settings.context_tokens, threads=threads)
        try:
            self._scorer = Scorer(self._model, scoring, self._template, self._header, slot=_SCORING)
        except ValueError as error:
            raise NotReady(f"{path} cannot be used for a conversation: {error}") from error
        # Twice: the first computes the shared part at once, the second its last token alone, as before each clip.
        for _ in range(2):
            self._back_to_fixed(self._model)

    def run(self, batch: Sequence[ReasonItem | ScoreItem]) -> list[Reasoned | Scored | MerrflowError]:
        """One result for each item; `InvalidInput` without a clue or usable labels, `TooLarge` beyond the context."""
        results: list[Reasoned | Scored | MerrflowError] = []
        for item in batch:
            try:
                results.append(self._answer(item))
            except MerrflowError as error:
                results.append(error)
        return results

    def close(self) -> None:
        """Ends llama.cpp's threads and removes its socket."""
        self._scorer = None
        if self._model is not None:
            self._model.close()
            self._model = None

    # -- one clip

    def _answer(self, item: ReasonItem | ScoreItem) -> Reasoned | Scored:
        if self._model is None or self._scorer is None:
            raise NotReady("the model is not loaded")
        if isinstance(item, ScoreItem):
            return self._scorer.score(item)
        return self._reason(item, self._model)

    def _reason(self, item: ReasonItem, model: LoadedModel) -> Reasoned:
        clues, question, prompt = self.compose(item.clues)
        grammar = guide.grammar(clues) if self._prompt.guide == "clues" else ""
        self._back_to_fixed(model)
        drafts: list[Draft] = []
        for attempt in range(self._settings.attempts):
            drafts.append(self._draft(model, clues, question, prompt, grammar, derived_seed(item.seed, attempt)))
            if not drafts[-1].failures:
                break
        return best(drafts)

    def compose(self, given: Clues) -> tuple[Clues, str, str]:
        """The prepared clues, the question over them, and the whole prompt as the model reads it.

        Raises `InvalidInput` where there is nothing to reason over.
        """
        clues = self._prompt.prepare(given, self._header.control_tokens)
        if clues.empty:
            raise no_clue(given)
        question = self._prompt.fill(clues, self._header.control_tokens)
        prompt = self._template.render(self._prompt.conversation(question)) + self._prompt.answer_starts
        return clues, question, prompt

    def _draft(self, model: LoadedModel, clues: Clues, question: str, prompt: str, grammar: str, seed: int) -> Draft:
        reply = model.complete(
            prompt,
            slot=_REASONING,
            answer_tokens=self._answer_tokens(self._prompt),
            seed=seed,
            grammar=grammar,
            **self._prompt.sampling.model_dump(),
        )
        choice = reply["choices"][0]
        return check(
            f"{self._prompt.answer_starts}{choice['text']}".strip(),
            clues,
            question,
            cut=choice["finish_reason"] == "length",
            prompt_tokens=reply["usage"]["prompt_tokens"],
            answer_tokens=reply["usage"]["completion_tokens"],
        )

    def _back_to_fixed(self, model: LoadedModel) -> None:
        model.complete(self._fixed, slot=_REASONING, answer_tokens=0)

    def _answer_tokens(self, prompt: Prompt) -> int:
        return self._settings.answer_tokens or prompt.answer_tokens

    def _stamps(self) -> dict[str, str]:
        prompt = load_prompt(self._prompt_name)
        return {
            "prompt_version": prompt.stamp(answer_tokens=self._answer_tokens(prompt), attempts=self._settings.attempts),
            "scoring_prompt_version": load_scoring_prompt(self._scoring_name).stamp(),
        }
