"""What the witnesses are shown, and how they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from merrflow.core.labels import Label, Vote
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Tone

FOR, AGAINST, ABSTAINS = "for", "against", "abstains"
_FAILED = "could not judge: "


@dataclass(frozen=True)
class Case:
    """A label with all that can speak for it or against it."""

    found: Label
    said: Subtitle
    tone: Tone | None = None
    scores: Mapping[str, float] = field(default_factory=dict)  # label -> the language model's share, 1 in all
    scorer: str = ""  # the model behind the scores
    expression: Mapping[str, float] = field(default_factory=dict)  # class -> mean share over the subject's frames


def speaks_for(witness: str, label: str, weight: float, reason: str) -> Vote:
    """A vote for the label that is judged."""
    return Vote(witness, FOR, label, weight, reason)


def speaks_against(witness: str, label: str, weight: float, reason: str) -> Vote:
    """A vote against it. label: what the witness itself finds; "" if it finds none."""
    return Vote(witness, AGAINST, label, weight, reason)


def abstains(witness: str, reason: str) -> Vote:
    """No vote, with the reason."""
    return Vote(witness, ABSTAINS, "", 0.0, reason)


def fails(witness: str, why: str) -> Vote:
    """No vote, for it could not judge at all; `failure` finds it again in a record."""
    return abstains(witness, f"{_FAILED}{why}")


def failure(vote: Vote) -> str:
    """Why the witness could not judge; empty if it could."""
    return vote.reason.removeprefix(_FAILED) if vote.reason.startswith(_FAILED) else ""
