"""What goes into the reasoning engines and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from merrflow_serving.answers import Outcome


@dataclass(frozen=True)
class Clues:
    """The clues of one clip, as `merrflow.llama3.v1.Clues`. Untrusted text."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""
    label: str = ""

    @property
    def empty(self) -> bool:
        """True where there is nothing to reason over; a label alone is a conclusion, not a clue."""
        return not (self.scene or self.expressions or self.tone or self.subtitle)


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
    reason: str  # why the outcome is not `done`; empty where it is
    prompt_tokens: int  # with the fixed part that is computed only once
    answer_tokens: int  # of the attempt that `text` comes from
    attempts: int  # answers generated until one passed the checks, 1 or more
