"""How likely each label of a closed set is: the prompts, and how log-likelihoods become probabilities.

A label's score is the likelihood of its tokens and of the end after them, as the answer to a short question over
the clues; that of all its spellings (happy, Happy, with a space or without), which are answers that exclude each other,
so that their likelihoods add up. A language model prefers some labels whatever the clues say, so the probability of a
label follows p(label | clues) / p(label | the same kinds of clues without content). Over a closed set this is both
contextual calibration (Zhao et al. 2021, "Calibrate Before Use", in its diagonal form) and domain-conditional PMI
(Holtzman et al. 2021, "Surface Form Competition: Why the Highest Probability Answer Isn't Always Right"). The
correction is bounded, or a label that the model hardly ever says would win by a little more than nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import Field

from merrflow_llama3.chat import Message
from merrflow_llama3.prompt import PROMPTS, CluePrompt
from merrflow_llama3.text import neutralise, one_line
from merrflow_llama3.types import Clues, LabelScore
from merrflow_serving.errors import InvalidInput
from merrflow_serving.prompt_files import read_prompt

Tokens = tuple[int, ...]
_MOST_LABELS = 100
_LONGEST_LABEL = 80  # characters
MOST_PRIORS = 64  # sets of labels and kinds of clues whose scores without content an engine keeps


class ScoringPrompt(CluePrompt):
    """A prompt for scoring labels. The label is read in the words `<answer_starts><before><label><end>`."""

    before: str  # what separates the answer's first words from the label, such as a space
    end: str  # what ends the answer; empty for the model's own end of a turn
    contentless: str = "N/A"  # stands for each clue that is given, where the prior is asked for
    most_correction: float = Field(3.0, ge=0)  # nats by which the prior may lift or lower a label

    def ask(self, clues: Clues, control_tokens: Iterable[str] = ()) -> tuple[Clues, list[Message]]:
        """The prepared clues and the conversation over them; the label clue is not used."""
        prepared = self.prepare(replace(clues, label=""), control_tokens)
        return prepared, self.conversation(self.fill(prepared, control_tokens))

    def without_content(self, prepared: Clues) -> Clues:
        """Clues of the same kinds that say nothing: what a label is likely by for no other reason than the form."""
        nothing = self.contentless
        return Clues(
            scene=nothing if prepared.scene else "",
            expressions=(nothing,) if prepared.expressions else (),
            tone=nothing if prepared.tone else "",
            subtitle=nothing if prepared.subtitle else "",
        )

    def ask_nothing(self, contentless: Clues) -> list[Message]:
        """The same conversation over clues `without_content`."""
        return self.conversation(self.fill(contentless))

    def spellings(self, label: str, end: str) -> tuple[str, ...]:
        """The answers that name the label, the prompt's own first. end: what ends the answer, if the prompt leaves it
        to the model."""
        words = dict.fromkeys((label, label[:1].upper() + label[1:]))
        starts = dict.fromkeys((self.before, "", " "))
        return tuple(f"{start}{word}{self.end or end}" for start in starts for word in words)


def load_scoring_prompt(name: str) -> ScoringPrompt:
    """A packaged scoring prompt by name ("score", "score_small", "judge"), or one by the path of its YAML file.

    Raises `NotReady` that says what is wrong if it cannot be used.
    """
    return read_prompt(name, ScoringPrompt, PROMPTS, "`score`, `score_small`, `judge`")


def clean_labels(labels: Sequence[str], control_tokens: Iterable[str] = ()) -> tuple[str, ...]:
    """The labels as the model reads them: clean, on one line, in lower case, in the given order.

    Raises `InvalidInput` for fewer than two labels or more than 100, and for one that is empty, too long or repeated.
    """
    if len(labels) > _MOST_LABELS:
        raise InvalidInput(f"{len(labels)} labels are too many: give {_MOST_LABELS} or fewer", reason="LABELS")
    tokens = tuple(control_tokens)
    clean = tuple(neutralise(one_line(label), tokens).lower() for label in labels)
    if "" in clean:
        raise InvalidInput(f"label {clean.index('') + 1} of {len(clean)} is empty: leave it out", reason="LABELS")
    if len(clean) < 2:
        raise InvalidInput(f"there must be two labels or more to score; {len(clean) or 'none'} given", reason="LABELS")
    for label in clean:
        if len(label) > _LONGEST_LABEL:
            raise InvalidInput(
                f"the label {label[:40]!r}... has {len(label)} characters: {_LONGEST_LABEL} is the most",
                reason="LABELS",
            )
        if clean.count(label) > 1:
            raise InvalidInput(f"the label {label!r} is given twice: give each label once", reason="LABELS")
    return clean


def sequence_likelihoods(
    sequences: Mapping[str, Tokens],
    likeliest: Callable[[Tokens], dict[int, float]],
    exact: Callable[[Tokens, int], float],
) -> dict[str, float]:
    """The log-likelihood of each label's tokens, each token given those before it.

    `likeliest(tokens)` gives log-likelihoods of the likeliest tokens after `tokens`, `exact(tokens, token)` that of any
    one token. A beginning that labels share is asked for once.
    """
    asked: dict[Tokens, set[int]] = {}  # tokens so far -> what may follow: a trie over the labels' tokens
    for tokens in sequences.values():
        for end, token in enumerate(tokens):
            asked.setdefault(tokens[:end], set()).add(token)
    known: dict[Tokens, dict[int, float]] = {}
    for before, following in sorted(asked.items()):  # sorted: each goes one token on from one before
        known[before] = likeliest(before) if len(following) > 1 else {}
        for token in sorted(following - known[before].keys()):
            known[before][token] = exact(before, token)
    return {
        label: math.fsum(known[tokens[:end]][token] for end, token in enumerate(tokens))
        for label, tokens in sequences.items()
    }


def summed(likelihoods: Iterable[float]) -> float:
    """The log-likelihood of one of several answers that exclude each other, from theirs."""
    values = list(likelihoods)
    highest = max(values)
    return (
        highest + math.log(math.fsum(math.exp(value - highest) for value in values)) if highest > -math.inf else highest
    )


def bounded(prior: Mapping[str, float], most: float) -> dict[str, float]:
    """The prior with no label further than `most` nats from their mean."""
    mean = math.fsum(prior.values()) / len(prior)
    return {label: mean + min(most, max(-most, value - mean)) for label, value in prior.items()}


def label_scores(
    labels: Sequence[str], read: Sequence[str], likelihoods: Mapping[str, float], prior: Mapping[str, float]
) -> tuple[LabelScore, ...]:
    """The scores in the order of `labels`; `read` are the same labels as the model reads them.

    likelihoods, prior: natural log-likelihoods of the read labels over the clues, and over clues without content.
    """
    corrected = [likelihoods[label] - prior[label] for label in read]
    highest = max(corrected)
    shares = [math.exp(value - highest) for value in corrected]
    # fsum: the sum does not depend on the order of the labels.
    total = math.fsum(shares)
    return tuple(
        LabelScore(label, share / total, likelihoods[as_read])
        for label, as_read, share in zip(labels, read, shares, strict=True)
    )
