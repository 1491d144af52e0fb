"""The label of a clip and what speaks for it: frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class Label:
    """The pseudo-label and what supports it."""

    label: str
    source: str  # "rules", "table", "model"
    action_units: tuple[str, ...]  # MERR's AU_list: the label's AUs that are present at the peak
    expressions: tuple[str, ...]  # one phrase for each of action_units
    rules: str  # name and version of the rule set
    reason: str  # "surprise: AU05, AU26 of AU01 AU02 AU05 AU26"
    ruled: str = ""  # what the rules alone say, also if the label was given
    supported: bool | None = None  # whether the peak meets the label's own rule; None if that cannot be judged
    scores: Mapping[str, float] = field(default_factory=dict)  # the rules' evidence by label, in the rule set's scale
    standing: Standing | None = None  # how far the witnesses bear the label out; None in records of older versions


class Verdict(StrEnum):
    """How a label comes out once all witnesses are heard."""

    CONFIRMED = "confirmed"
    UNDETERMINED = "undetermined"  # too little speaks for it or against it
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Vote:
    """What one witness says of the label."""

    witness: str  # "units", "expression", "words", "voice", "scores", "given"
    vote: str  # "for", "against", "abstains"
    label: str  # what the witness itself finds; "" if it finds none
    weight: float  # of this vote, from the file of witnesses; 0 if it abstains
    reason: str  # "happy at a mean share of 0.71, at least 0.50 confirms"


@dataclass(frozen=True)
class Standing:
    """The verdict on a label, with each witness's vote."""

    verdict: Verdict
    votes: tuple[Vote, ...]
    reason: str
    rules: str  # name and version of the file of witnesses


@dataclass(frozen=True)
class LabelScores:
    """How likely the reasoning model finds each label, given some of the clues."""

    probability: Mapping[str, float]  # label -> share, 1 in all
