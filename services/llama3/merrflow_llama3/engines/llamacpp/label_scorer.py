"""Scores labels with a loaded model; `merrflow_llama3.scoring` says what a score is."""

from __future__ import annotations

from collections.abc import Callable

from merrflow_llama3.chat import ChatTemplate, Message
from merrflow_llama3.engines.llamacpp.binding import LoadedModel, Slot
from merrflow_llama3.gguf import GGUFHeader
from merrflow_llama3.scoring import (
    MOST_PRIORS,
    ScoringPrompt,
    Tokens,
    bounded,
    clean_labels,
    label_scores,
    sequence_likelihoods,
    summed,
)
from merrflow_llama3.types import Clues, Scored, ScoreItem, no_clue

_LIKELIEST = 1000  # next tokens that one call returns; it costs 5 ms more than a call for one token


class LabelScorer:
    """Scores one clip at a time, in a slot of its own where the prompt's beginning stays cached."""

    def __init__(
        self, model: LoadedModel, slot: Slot, prompt: ScoringPrompt, template: ChatTemplate, header: GGUFHeader
    ) -> None:
        self._model = model
        self._slot = slot
        self._prompt = prompt
        self._template = template
        self._header = header
        self._end = template.turn_end() or "\n"
        self._priors: dict[tuple[tuple[str, ...], Clues], dict[str, float]] = {}

    def score(self, item: ScoreItem, is_wanted: Callable[[], bool]) -> Scored:
        """The labels' scores, the same for any order of the labels.

        Raises `InvalidInput`, `TooLarge`, and `Abandoned` once it is not wanted.
        """
        read = clean_labels(item.labels, self._header.control_tokens)
        clues, conversation = self._prompt.ask(item.clues, self._header.control_tokens)
        if clues.empty:
            raise no_clue(item.clues)
        prior = self._prior(tuple(sorted(read)), self._prompt.without_content(clues), is_wanted)
        likelihoods, prompt_tokens = self._likelihoods(conversation, read, is_wanted)
        return Scored(label_scores(item.labels, read, likelihoods, prior), prompt_tokens)

    def _prior(self, labels: tuple[str, ...], contentless: Clues, is_wanted: Callable[[], bool]) -> dict[str, float]:
        key = (labels, contentless)
        if key not in self._priors:
            if len(self._priors) == MOST_PRIORS:
                self._priors.clear()
            found = self._likelihoods(self._prompt.ask_nothing(contentless), labels, is_wanted)[0]
            self._priors[key] = bounded(found, self._prompt.most_correction)
        return self._priors[key]

    def _likelihoods(
        self, conversation: list[Message], labels: tuple[str, ...], is_wanted: Callable[[], bool]
    ) -> tuple[dict[str, float], int]:
        """The log-likelihood of each label as the answer, and the prompt's length in tokens."""
        asked = self._template.render(conversation) + self._prompt.answer_starts
        spellings = {label: self._prompt.spellings(label, self._end) for label in labels}
        sequences = {text: self._model.tokens(text) for texts in spellings.values() for text in texts}
        lengths = [0]

        def _likeliest(before: Tokens) -> dict[int, float]:
            return _next(before, _LIKELIEST, None)

        def _exact(before: Tokens, token: int) -> float:
            return _next(before, 1, token)[token]

        def _next(before: Tokens, count: int, force: int | None) -> dict[int, float]:
            found, read = self._slot.next_tokens([asked, *before], count=count, force=force, is_wanted=is_wanted)
            lengths.append(read - len(before))
            return found

        self._slot.rewind()
        # A token computed alone differs in the last digit from the same token computed among many. So the prompt is
        # read once as a whole, and from then on each call computes one token alone: a label's score is the same
        # whatever else is asked.
        self._slot.complete(asked, answer_tokens=0, is_wanted=is_wanted)
        found = sequence_likelihoods(sequences, _likeliest, _exact)
        return {label: summed(found[text] for text in texts) for label, texts in spellings.items()}, max(lengths)
