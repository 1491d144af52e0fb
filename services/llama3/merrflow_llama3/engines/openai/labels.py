"""Scores labels by an endpoint: from the likelihoods of the first token if the server gives them, else by choices.

Likelihoods: a server shows the likeliest tokens only, so the labels are listed in the question. A token that begins a
label speaks for it; one that begins several is shared among them. A label that no token begins gets the likelihood of
the least likely token shown, which is the most that it can have. They are corrected by the likelihoods without clues
(see `merrflow_llama3.scoring`), which are smoothed because they are known in part only.

Choices: the model chooses several times among the labels, by structured output if the server has it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

from merrflow_llama3.chat import Message
from merrflow_llama3.engines.drafts import derived_seed
from merrflow_llama3.engines.openai.config import EndpointFile, endpoint_file
from merrflow_llama3.scoring import MOST_PRIORS, ScoringPrompt, clean_labels, label_scores
from merrflow_llama3.text import words
from merrflow_llama3.types import Scored, ScoreItem, ScoringMethod, no_clue
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.openai.engine import Calls
from merrflow_serving.openai.errors import Passing

TOP = 20  # likeliest tokens: the most that OpenAI's endpoint and vLLM's, by default, give
KEY = "emotion"  # of a structured answer
Conversation = list[dict[str, str]]


def messages(conversation: Sequence[Message]) -> Conversation:
    """A conversation as it is sent."""
    return [{"role": one.role, "content": one.content} for one in conversation]


class LabelScorer:
    """Scores labels with what the server was found to give."""

    def __init__(self, prompt: ScoringPrompt) -> None:
        self._prompt = prompt
        self._file: EndpointFile = endpoint_file()
        self._priors: dict[tuple[str, ...], dict[str, float]] = {}
        self._lock = Lock()
        self.method = ScoringMethod.CHOICE
        self._structured = False

    def find_method(self, calls: Callable[[], Calls]) -> None:
        """Asks for likelihoods, and without them for structured output. Raises what a plain question raises."""
        calls().chat(_YES, max_tokens=self._file.answer_tokens)
        try:
            likely = calls().chat(_YES, max_tokens=1, **_likelihoods()).likely
        except Passing:
            raise
        except (InvalidInput, NotReady):  # some answer 403 for what the model does not give
            likely = ()
        self.method = ScoringMethod.LIKELIHOOD if len(likely) > 1 else ScoringMethod.CHOICE
        if self.method is ScoringMethod.CHOICE:
            try:
                reply = calls().chat(_YES, max_tokens=self._file.answer_tokens, **_one_of(("no", "yes")))
                self._structured = chosen(reply.text, ("no", "yes")) is not None
            except InvalidInput:
                self._structured = False

    def score(self, item: ScoreItem, calls: Calls) -> Scored:
        """The scores, the same for any order of the labels. Raises `InvalidInput`, and what `Calls.chat` raises."""
        tokens = self._file.control_tokens
        read = clean_labels(item.labels, tokens)
        clues, conversation = self._prompt.ask(item.clues, tokens)
        if clues.empty:
            raise no_clue(item.clues)
        listed = tuple(sorted(read))
        asked = self._with_labels(conversation, listed)
        if self.method is ScoringMethod.CHOICE:
            likelihoods, count = self._choices(asked, listed, calls)
            prior = dict.fromkeys(listed, 0.0)
        else:
            likelihoods, count = self._likelihoods(asked, listed, calls)
            prior = self._prior(listed, calls)
        return Scored(label_scores(item.labels, read, likelihoods, prior), count, self.method, calls.usage)

    def _with_labels(self, conversation: Sequence[Message], labels: Sequence[str]) -> Conversation:
        *before, question = conversation
        told = self._file.choose.format(labels=", ".join(labels))
        return messages([*before, Message(question.role, f"{question.content}\n{told}")])

    def _likelihoods(self, asked: Conversation, labels: Sequence[str], calls: Calls) -> tuple[dict[str, float], int]:
        """The labels' log-likelihoods, and the prompt's length in tokens."""
        reply = calls.chat(asked, max_tokens=1, **_likelihoods())
        if reply.outcome is Outcome.REFUSED and not reply.likely:
            raise _refusal(reply.why)
        if not reply.likely:  # it gave them when the engine loaded
            raise NotReady("the endpoint gave no likelihoods with this answer", reason="ENDPOINT_UNREACHABLE")
        return first_tokens(reply.likely, labels), reply.usage.input_tokens

    def _prior(self, labels: tuple[str, ...], calls: Calls) -> dict[str, float]:
        """Without clues: normalised, smoothed, as logarithms."""
        with self._lock:  # every lane needs it at the same time, and one shall pay for it
            if labels not in self._priors:
                asked = self._with_labels(self._prompt.ask_nothing(), labels)
                found, _ = self._likelihoods(asked, labels, calls)
                if len(self._priors) >= MOST_PRIORS:
                    self._priors.clear()
                self._priors[labels] = smoothed(found, self._file.calibration_prior)
            return self._priors[labels]

    def _choices(self, asked: Conversation, labels: Sequence[str], calls: Calls) -> tuple[dict[str, float], int]:
        """The logarithms of the labels' shares of the choices, and the prompt's length in tokens."""
        counts: Counter[str] = Counter()
        tokens = 0
        refusal = ""
        for number in range(self._file.draws):
            reply = calls.chat(
                asked,
                temperature=self._file.draw_temperature,
                seed=derived_seed(0, number),
                max_tokens=self._file.answer_tokens,
                **(_one_of(labels) if self._structured else {}),
            )
            tokens = reply.usage.input_tokens
            if reply.outcome is Outcome.REFUSED:
                refusal = reply.why or "it gave no answer"
            elif label := chosen(reply.text, labels):
                counts[label] += 1
        if not counts:
            raise (
                _refusal(refusal) if refusal else InvalidInput("the model named none of the labels", reason="NO_LABEL")
            )
        each = self._file.draw_prior / len(labels)
        total = counts.total() + self._file.draw_prior
        return {label: math.log((counts[label] + each) / total) for label in labels}, tokens


def first_tokens(likely: Sequence[tuple[str, float]], labels: Sequence[str]) -> dict[str, float]:
    """The log-likelihood of each label from those of tokens that may be the answer's first."""
    mass = dict.fromkeys(labels, 0.0)
    for token, log_probability in likely:
        start = token.strip().lower()
        begun = [label for label in labels if start and (label.startswith(start) or start == label)]
        for label in begun:
            mass[label] += math.exp(log_probability) / len(begun)
    least = min(log_probability for _, log_probability in likely)
    return {label: max(math.log(share), least) if share else least for label, share in mass.items()}


def smoothed(likelihoods: Mapping[str, float], weight: float) -> dict[str, float]:
    """Logarithms of shares of 1, mixed with equal shares of that weight."""
    highest = max(likelihoods.values())
    shares = {label: math.exp(value - highest) for label, value in likelihoods.items()}
    total = math.fsum(shares.values())
    each = weight / len(shares)
    return {label: math.log((share / total + each) / (1 + weight)) for label, share in shares.items()}


def chosen(answer: str, labels: Sequence[str]) -> str | None:
    """The label that an answer names alone, structured or plain; None for any other answer."""
    try:
        found: Any = json.loads(answer)
        answer = str(found.get(KEY, "")) if isinstance(found, dict) else str(found)
    except ValueError:
        pass
    plain = {" ".join(words(label)) or label: label for label in labels}
    return plain.get(" ".join(words(answer)) or answer.strip().lower())


def _likelihoods() -> dict[str, Any]:
    return {"temperature": 0.0, "logprobs": True, "top_logprobs": TOP}


def _one_of(labels: Sequence[str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {KEY: {"type": "string", "enum": list(labels)}},
        "required": [KEY],
        "additionalProperties": False,
    }
    return {"response_format": {"type": "json_schema", "json_schema": {"name": KEY, "strict": True, "schema": schema}}}


def _refusal(why: str) -> InvalidInput:
    return InvalidInput(f"the model declined to name a label: {why or 'no reason given'}", reason="NO_LABEL")


_YES = [{"role": "user", "content": "Say: yes."}]
