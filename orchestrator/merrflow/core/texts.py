"""The clues and the texts of a clip, and who wrote them: frozen dataclasses, with units in the field comments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from merrflow.core.labels import Label
from merrflow.core.usage import Usage


@dataclass(frozen=True)
class Origin:
    """Which engine wrote a clue, and what it cost. Mirrors merrflow.common.v1.EngineInfo and Timing."""

    engine: str
    model: str
    revision: str
    prompt_version: str
    note: str
    queue_seconds: float
    model_seconds: float
    usage: Usage | None = None  # at an endpoint elsewhere; None if the engine computes in its service
    method: str = ""  # how labels were scored: "likelihood" or "choice"; empty for all else


@dataclass(frozen=True)
class Scene:
    """What the peak frame shows."""

    text: str
    measurements: Mapping[str, tuple[float, str]]  # name -> (value, unit)
    on_screen_text: tuple[str, ...]


@dataclass(frozen=True)
class Tone:
    """How the voice sounds."""

    text: str
    content: str  # "speech", "no_speech", "music", "silence", "no_track"
    measurements: Mapping[str, tuple[float, str]]  # name -> (value, unit)
    speech: tuple[tuple[float, float], ...]  # seconds: start, end


@dataclass(frozen=True)
class Claim:
    """One thing that a tone sentence says of the voice, compared with what was measured (stages/grounding.py)."""

    words: str  # as they are in the sentence: "high-pitched"
    quality: str  # what they claim, a name of grounding.yaml: "high pitch"
    verdict: str  # "supported", "contradicted", "undecided" (measured, between the two), "unmeasured"
    reason: str  # "pitch_median 118 Hz, at least 165 for high pitch"


@dataclass(frozen=True)
class Clues:
    """The clues of a clip as the reasoning model is given them: plain text, empty if a clue is missing."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""
    translation: str = ""  # of the subtitle, into English
    other_expressions: tuple[str, ...] = ()  # measured too, but not what the label rests on

    def for_key(self) -> dict[str, object]:
        """What a result depends on. Without what was added later it is what it was before that."""
        later = ("translation", "other_expressions")
        return {name: value for name, value in asdict(self).items() if value or name not in later}

    def labelled(self, found: Label) -> Clues:
        """The same with the expressions that the label rests on, as MERR's prompt has them, and the others apart."""
        others = tuple(phrase for phrase in self.expressions if phrase not in found.expressions)
        return replace(self, expressions=found.expressions, other_expressions=others)

    def views(self, wanted: str) -> dict[str, Clues]:
        """What to weigh labels by. wanted: "none", "all" (one view of all clues), or "modalities" (each alone too)."""
        if wanted == "none":
            return {}
        alone = {
            "face": Clues(expressions=self.expressions),
            "voice": Clues(tone=self.tone),
            "words": Clues(subtitle=self.subtitle, translation=self.translation),
        }
        views = {"all": self} | (alone if wanted == "modalities" else {})
        return {name: view for name, view in views.items() if view != Clues()}


@dataclass(frozen=True)
class Reasoning:
    """The fine-grained text."""

    text: str
    seed: int
    prompt_tokens: int
    answer_tokens: int
    attempts: int = 1  # answers generated until one passed the service's checks
