"""Labels scored by a loaded model; what a score is stands in `merrflow_llama3.scoring`."""

from __future__ import annotations

from merrflow_llama3.chat import ChatTemplate, Message
from merrflow_llama3.engines.binding import LoadedModel
from merrflow_llama3.gguf import GGUFHeader
from merrflow_llama3.scoring import ScoringPrompt, Tokens, clean_labels, label_scores, sequence_likelihoods
from merrflow_llama3.types import Scored, ScoreItem, no_clue

_MARK = "MERRFLOW-QUESTION"  # where the fixed part of a conversation ends
_LIKELIEST = 1000  # next tokens told by one call, which costs 5 ms more than a call for one token
_MOST_PRIORS = 64  # sets of labels whose scores without clues are kept


class Scorer:
    """Scores one clip at a time. It has a slot of the model to itself, where the prompt's fixed part stays cached."""

    def __init__(
        self, model: LoadedModel, prompt: ScoringPrompt, template: ChatTemplate, header: GGUFHeader, *, slot: int
    ) -> None:
        """Computes the part of the prompt that all clips share. Raises `ValueError` where the template refuses it."""
        self._model = model
        self._prompt = prompt
        self._template = template
        self._header = header
        self._slot = slot
        self._end = prompt.end or header.eos_token or "\n"
        self._fixed = template.render(prompt.conversation(_MARK)).split(_MARK)[0]
        self._priors: dict[tuple[str, ...], dict[str, float]] = {}
        for _ in range(2):  # the second computes the last token alone, as before each clip
            self._back_to_fixed()

    def score(self, item: ScoreItem) -> Scored:
        """The labels' scores, the same in whatever order the labels stand. Raises `InvalidInput`, `TooLarge`."""
        read = clean_labels(item.labels, self._header.control_tokens)
        clues, conversation = self._prompt.ask(item.clues, self._header.control_tokens)
        if clues.empty:
            raise no_clue(item.clues)
        prior = self._prior(tuple(sorted(read)))
        likelihoods, prompt_tokens = self._likelihoods(conversation, read)
        return Scored(label_scores(item.labels, read, likelihoods, prior), prompt_tokens)

    def _prior(self, labels: tuple[str, ...]) -> dict[str, float]:
        if labels not in self._priors:
            if len(self._priors) == _MOST_PRIORS:
                self._priors.clear()
            self._priors[labels] = self._likelihoods(self._prompt.ask_nothing(), labels)[0]
        return self._priors[labels]

    def _likelihoods(self, conversation: list[Message], labels: tuple[str, ...]) -> tuple[dict[str, float], int]:
        """The log-likelihood of each label as the answer, and the prompt's length in tokens."""
        asked = self._template.render(conversation) + self._prompt.answer_starts
        sequences = {label: self._model.tokens(f"{self._prompt.before}{label}{self._end}") for label in labels}
        lengths = [0]

        def _likeliest(before: Tokens) -> dict[int, float]:
            return _next(before, _LIKELIEST, None)

        def _exact(before: Tokens, token: int) -> float:
            return _next(before, 1, token)[token]

        def _next(before: Tokens, count: int, force: int | None) -> dict[int, float]:
            found, read = self._model.next_tokens([asked, *before], slot=self._slot, count=count, force=force)
            lengths.append(read - len(before))
            return found

        self._back_to_fixed()
        # A token computed alone is not to the last digit what it is among many. The prompt is read once as a whole;
        # from here on each call computes one token alone, so that a label's score is the same whatever else is asked.
        self._model.complete(asked, slot=self._slot, answer_tokens=0)
        return sequence_likelihoods(sequences, _likeliest, _exact), max(lengths)

    def _back_to_fixed(self) -> None:
        self._model.complete(self._fixed, slot=self._slot, answer_tokens=0)
