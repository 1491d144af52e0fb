"""What a judge of claims is: given claims and clues, whether each claim is supported, and by which clue.

A claim is one sentence or clause. Clues are named texts: those of a record, or any others, such as what a second
engine says of the same clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from merrflow.core.texts import Tone

FACE, VOICE, WORDS, SCENE, LABEL = "face", "voice", "words", "scene", "label"
CLUES = (SCENE, FACE, VOICE, WORDS, LABEL)  # of a record


class Finding(StrEnum):
    """What the clues say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_TOLD = "not told"  # the clues say neither; also an answer that cannot be used


@dataclass(frozen=True)
class Evidence:
    """What claims are judged by."""

    clues: Mapping[str, str]  # name -> text; those without a text are left out
    tone: Tone | None = None  # what was measured of the voice, for judges that can read it
    action_units: frozenset[str] | None = None  # at the peak; None: only what the face clue says

    @property
    def told(self) -> dict[str, str]:
        """The clues that say something."""
        return {name: text for name, text in self.clues.items() if text.strip()}


@dataclass(frozen=True)
class Judgement:
    """What one judge finds of one claim."""

    claim: str
    finding: Finding
    clue: str = ""  # the clue that decided; "" if none did
    reason: str = field(default="", compare=False)  # one line


class Judge(Protocol):
    """Judges claims. Its answers depend on its `version`, the claims and the evidence alone."""

    @property
    def name(self) -> str:
        """ "rules", "model"."""
        ...

    @property
    def version(self) -> str:
        """Of everything that shapes its answers."""
        ...

    async def judge(self, clip: str, claims: Sequence[str], evidence: Evidence) -> list[Judgement]:
        """One judgement for each claim, in their order. Does not block the event loop.

        clip: its name, for logs. Raises `MerrflowError` if the judge cannot answer now; an answer that it cannot read
        is NOT_TOLD.
        """
        ...
