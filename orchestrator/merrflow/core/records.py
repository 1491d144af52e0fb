"""The record of a clip and how it came out: frozen dataclasses, and nothing grows fields on its way.

Its parts are in `measurements.py`, `labels.py`, `texts.py` and `spoken.py`: what the stages return and the
ledger stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from merrflow.core.labels import Label
from merrflow.core.measurements import Curves, Peak, Probe, ShownFrame, Subject
from merrflow.core.spoken import Subtitle, Transcript, Translation
from merrflow.core.texts import Claim, Origin, Reasoning, Scene, Tone


class Outcome(StrEnum):
    """How a stage, and in the end a clip, came out. Filtered is not failed."""

    DONE = "done"
    SKIPPED = "skipped"  # by a rule, with its reason: nobody talks, no expression, ...
    FAILED = "failed"  # could not be worked on, with the error
    REFUSED = "refused"  # the model declined
    TRUNCATED = "truncated"  # the model's answer was cut
    REJECTED = "rejected"  # no answer of the model passed the checks
    NO_GROUND = "no_ground"  # no clue speaks for the label, so that no fine-grained text was written


@dataclass(frozen=True)
class Testimony:
    """What a second engine (a witness) answered to what the main engine was asked, and how far the two agree."""

    witness: str  # its name in the run: "qwen-audio.openai"
    engine: str  # as are the next: what is known of it; "" if it never answered
    model: str
    origin: Origin | None  # None without an answer
    answer: Mapping[str, Any]  # the stage's result as JSON; of Action Units, those at the peak. Empty without an answer
    outcome: Outcome
    reason: str = ""  # why there is no whole answer
    again: bool = False  # the next run asks it again
    agreement: Mapping[str, float] = field(default_factory=dict)  # measure -> 0 to 1 (r: -1 to 1); the first decides
    unmeasured: str = ""  # why there is no agreement


@dataclass(frozen=True)
class Record:
    """All that is known of one clip at the end: every clue, who wrote it, and what is missing and why."""

    name: str
    path: str
    sha256: str
    probe: Probe
    subject: Subject
    peak: Peak
    label: Label
    subtitle: Subtitle
    scene: Scene | None
    tone: Tone | None
    coarse: str  # the coarse-grained description
    coarse_template: str  # name and version of its template
    reasoning: Reasoning | None  # the fine-grained description
    origins: Mapping[str, Origin]  # "action_units", "scene", "tone", "reasoning" -> who wrote it
    seconds: Mapping[str, float]  # stage -> wall seconds
    missing: Mapping[str, str]  # clue -> why the record does not have it
    curves: Curves
    measurable: tuple[str, ...] = ()  # Action Units that the engine can measure; empty if that is not known
    grounding: tuple[Claim, ...] = ()  # what the tone claims against what was measured
    # Clues -> label -> probability. Clues: "all", and each modality alone: "face", "voice", "words".
    distribution: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    transcript: Transcript | None = None  # if no subtitle was found and speech recognition was there
    translation: Translation | None = None  # of the subtitle, if it is not English and the run translates
    shown: ShownFrame | None = None  # what the picture and the scene show; None: the peak frame
    # Stage -> what its second engines answered. Left out where there are none, as in records before there were any.
    witnesses: Annotated[Mapping[str, tuple[Testimony, ...]], Field(exclude_if=lambda found: not found)] = field(
        default_factory=dict
    )

    @property
    def picture_index(self) -> int:
        """The number of the frame that the picture shows, from 0."""
        return self.shown.index if self.shown else self.peak.index

    @property
    def picture_box(self) -> tuple[float, float, float, float] | None:
        """Of the subject's face in the picture: x, y, width, height in pixels; None if it is not known."""
        return self.shown.box if self.shown else self.peak.box

    @property
    def english(self) -> str | None:
        """What is said: translated, or else as it is; None if that is not known."""
        return self.translation.text if self.translation else self.subtitle.text
