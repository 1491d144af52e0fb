"""What is said in a clip, and where that is known from. As in `measurements.py`, units are in the field comments."""

from __future__ import annotations

from dataclasses import dataclass

# Where a subtitle may be from, best first: a table, a file beside the clip (its suffix), a track inside it, text in the
# picture, speech recognition; or a reviewer, whose words replace the others.
SUBTITLE_SOURCES = ("table", "srt", "vtt", "ass", "ssa", "lrc", "track", "picture", "speech", "human", "none")


@dataclass(frozen=True)
class Subtitle:
    """What is said, or None with the reason why it is not known."""

    text: str | None
    source: str  # one of SUBTITLE_SOURCES
    language: str  # "en", "zh", ...; "" if unknown
    reason: str
    confidence: float | None = None  # 0 to 1, of a reader or recogniser; None if a person wrote it


@dataclass(frozen=True)
class Translation:
    """What is said, in English. The original stays in `Subtitle`."""

    text: str  # empty if no answer of the model was a translation; then the outcome's reason says why
    language: str  # of the original; "" if unknown
    attempts: int = 1  # answers generated until one passed the service's checks


@dataclass(frozen=True)
class SpeechSegment:
    """One stretch of recognised speech."""

    start: float  # seconds from the start of the sound
    end: float
    text: str
    confidence: float  # mean probability of its tokens, 0 to 1
    no_speech: float | None = None  # probability that nobody speaks; None if the model does not say
    rejected: str = ""  # why it is not part of the text


@dataclass(frozen=True)
class Transcript:
    """What a speech recognition model heard."""

    text: str  # empty with a reason
    language: str  # ISO 639-1; "" if the model does not say
    language_probability: float
    segments: tuple[SpeechSegment, ...]
    reason: str = ""

    @property
    def confidence(self) -> float:
        """Of the segments that make the text, by their length in letters."""
        kept = [(len(segment.text), segment.confidence) for segment in self.segments if not segment.rejected]
        letters = sum(length for length, _ in kept)
        return round(sum(length * one for length, one in kept) / letters, 4) if letters else 0.0
