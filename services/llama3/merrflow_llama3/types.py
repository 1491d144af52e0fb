"""What an engine of the llama3 service takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from merrflow_serving.answers import Outcome, Usage
from merrflow_serving.errors import InvalidInput


@dataclass(frozen=True)
class Clues:
    """The clues of one clip, as `merrflow.llama3.v1.Clues`. Untrusted text."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""
    label: str = ""
    translation: str = ""  # of the subtitle, into English
    other_expressions: tuple[str, ...] = ()  # measured too, but not what the label rests on

    @property
    def empty(self) -> bool:
        """True if there is nothing to reason over; a label alone is a conclusion, not a clue."""
        return not (self.scene or self.expressions or self.other_expressions or self.tone or self.subtitle)


def no_clue(given: Clues) -> InvalidInput:
    """The error for clues none of which a prompt can use."""
    missing = "no clue at all" if given.empty else "no clue that this prompt can use (English text only)"
    return InvalidInput(f"there is {missing}: give a scene, expressions, a tone or a subtitle", reason="NO_CLUE")


@dataclass(frozen=True)
class ReasonItem:
    """One clip to reason about. The same clues and seed give the same text."""

    clues: Clues
    seed: int = 0  # 0 to 2**64 - 1


@dataclass(frozen=True)
class Reasoned:
    """A fine-grained description."""

    text: str
    outcome: Outcome
    reason: str  # why the outcome is not `done`; empty if it is
    prompt_tokens: int  # including the part that is the same for every clip
    answer_tokens: int  # of the attempt that `text` comes from
    attempts: int  # answers generated until one passed the checks; 0 if there was no ground for any
    usage: Usage | None = None  # of an endpoint


@dataclass(frozen=True)
class ScoreItem:
    """One clip whose labels to score. The same clues and set of labels give the same scores, in any order of labels."""

    clues: Clues  # `label` is not read
    labels: tuple[str, ...]  # at least two, each once


class ScoringMethod(StrEnum):
    """How labels are scored. Names as in `merrflow.llama3.v1.ScoringMethod`."""

    LIKELIHOOD = "likelihood"
    CHOICE = "choice"  # the model chose among them; a server that reports no likelihoods


@dataclass(frozen=True)
class LabelScore:
    """How likely one label is."""

    label: str  # as in the item
    probability: float  # share among the labels, 0 to 1, adding up to 1; corrected by the score without clues
    log_likelihood: float  # natural logarithm of the label's likelihood as the answer, not corrected


@dataclass(frozen=True)
class Scored:
    """The labels' scores."""

    scores: tuple[LabelScore, ...]  # in the order of the item's labels
    prompt_tokens: int  # of the prompt over the clues, including the part that is the same for every clip
    method: ScoringMethod = ScoringMethod.LIKELIHOOD
    usage: Usage | None = None  # of an endpoint


@dataclass(frozen=True)
class TranslateItem:
    """One text to translate into English. The same text and seed give the same translation."""

    text: str  # untrusted
    language: str = ""  # ISO 639 code; empty if not known
    seed: int = 0  # 0 to 2**64 - 1


@dataclass(frozen=True)
class Translated:
    """A translation."""

    text: str  # empty if the outcome is not `done`: a wrong translation is worse than none
    outcome: Outcome
    reason: str  # why the outcome is not `done`; empty if it is
    prompt_tokens: int
    answer_tokens: int  # of the attempt that decided the outcome
    attempts: int  # answers generated until one passed the checks, 1 or more
    usage: Usage | None = None  # of an endpoint


Item = ReasonItem | ScoreItem | TranslateItem
Result = Reasoned | Scored | Translated
